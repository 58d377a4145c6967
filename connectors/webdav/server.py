"""One WebDAV server as requests see it: its origin, its authentication, and what its refusals mean."""

import copy
from collections.abc import Mapping, Sequence
from typing import Self

from connectors.http1 import Response
from connectors.http1.authorisation import basic
from connectors.http1.callers import callers_headers, joined
from connectors.http1.connection import Body, Headers
from connectors.http1.others import kept, require_below
from connectors.http1.places import client_of
from connectors.http1.secure import tls_context
from connectors.interface import (
    Authorised,
    BadAnswer,
    BadSpan,
    Context,
    InvalidName,
    NotFound,
    NotPermitted,
    Origin,
    OutOfSpace,
    PreconditionFailed,
    Request,
    StoreError,
    Throttled,
    Unavailable,
    Unsupported,
)
from connectors.interface.leavers import Leavers
from connectors.webdav.auth import Authentication
from connectors.webdav.settings import WebdavSettings

_MOST_CONNECTIONS = 128
_ATTEMPTS = 3
_REFUSALS: dict[int, tuple[type[StoreError], str]] = {
    400: (InvalidName, "the store does not understand the name"),
    403: (NotPermitted, "the store does not permit that to this account"),
    404: (NotFound, "there is no such file or folder"),
    405: (Unsupported, "the store does not do that here: is the URL a WebDAV folder?"),
    409: (NotFound, "there is no such folder"),
    410: (NotFound, "there is no such file or folder"),
    412: (PreconditionFailed, "the file is another version now"),
    413: (OutOfSpace, "the file is larger than the store takes"),
    414: (InvalidName, "the name is longer than the store takes"),
    416: (BadSpan, "the span starts at or after the file's end"),
    423: (NotPermitted, "somebody has locked this on the store: try again when it is unlocked"),
    424: (NotPermitted, "the store did a part only, since it may not do the rest"),
    429: (Throttled, "the store asks for fewer requests"),
    501: (Unsupported, "the store does not do that: is the URL a WebDAV folder?"),
    507: (OutOfSpace, "no room is left on the store"),
}


class Server:
    """Sends requests below the account's URL, authenticated.

    Attributes:
        origin: scheme, host and port, as the Host header has them.
        place: the account's folder, for those who send requests of their own.
        leavers: requests whose caller left.
    """

    def __init__(self, settings: WebdavSettings, context: Context) -> None:
        self.place = Origin.of(settings.url, settings.ca)
        self.origin = f"{self.place.scheme}://{self.place.authority}"
        self._base = self.place.path
        tls = None
        if self.place.scheme == "https":
            tls = tls_context(settings.ca, settings.identity())
        self._client = client_of(self.place, context, tls, max_connections=_MOST_CONNECTIONS)
        self.leavers = Leavers()
        password = settings.password.get_secret_value() if settings.password else None
        self._authentication = Authentication(settings.username, password)
        # a nonce of its own: some servers want its counts in order, and others' requests come as they like
        self._others = Authentication(settings.username, password)
        self._asked = settings.username is None
        self._spellings = basic(settings.username or "", password).secrets if password else ()
        self._callers: Sequence[tuple[bytes, bytes]] = ()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.leavers.aclose()
        await self._client.aclose()

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same server, connections and all; requests carry a caller's headers too. Raises InvalidName."""
        other = copy.copy(self)
        other._callers = callers_headers(headers)  # noqa: SLF001  our own class
        return other

    def path(self, target: str) -> str:
        """The whole path of a target below the account's URL."""
        return self._base + target

    async def request(
        self, method: str, target: str, headers: Headers = (), *, body: Body = None, length: int | None = None
    ) -> Response:
        """The answer, whatever its status but 401.

        A body of pieces is sent once: a server that may refuse it late is asked beforehand to say go.
        Raises what `Client.request` raises, and BadCredential.
        """
        path = self.path(target)
        pieces = body is not None and not isinstance(body, bytes)
        for _ in range(_ATTEMPTS):
            framed = joined(headers, self._callers)
            sent = self._authentication.header(method, path)
            if sent is not None:
                framed.append((b"authorization", sent.encode()))
            if pieces and self._authentication.may_be_refused_late:
                framed.append((b"expect", b"100-continue"))
            answer = await self._client.request(method, path, framed, body=body, length=length)
            if answer.status != 401:
                return answer
            challenges = [v.decode("latin-1") for k, v in answer.headers if k == b"www-authenticate"]
            await answer.aclose()
            self._authentication.refused(challenges, sent)
        raise Unavailable("the store keeps asking for the password anew")

    async def authorise(self, request: Request, refused: str | None) -> Authorised:
        """Another's request below the account's URL, authenticated; as `CanAuthorise.authorise`."""
        require_below(request, self.place)
        if refused is not None:
            self._others.refused([refused], self._others.header(request.method, request.target))
        elif not self._asked:
            await self._ask()
        fields, secrets = kept(request), list(self._spellings)
        if (header := self._others.header(request.method, request.target)) is not None:
            fields.append(("authorization", header))
            secrets += [header, header.partition(" ")[2]]
        return Authorised(request.target, fields, tuple(secrets))

    async def _ask(self) -> None:
        """Learns how the server wants to be answered: a body can't be sent twice to find out."""
        answer = await self._client.request("PROPFIND", self._base, [(b"depth", b"0")])
        challenges = [v.decode("latin-1") for k, v in answer.headers if k == b"www-authenticate"]
        await answer.aclose()
        if answer.status == 401:
            self._others.refused(challenges, None)
        self._asked = True


async def refusal(answer: Response) -> StoreError:
    """What an answer's status means as an error; the body is not read."""
    await answer.aclose()
    return refused(answer.status, _seconds(answer))


def refused(status: int, retry_after: float | None = None) -> StoreError:
    """What a status means as an error. The store's own words are not passed on."""
    if (known := _REFUSALS.get(status)) is not None:
        kind, message = known
        return kind(message, retry_after=retry_after)
    if status == 503:
        return Throttled("the store is overloaded or under maintenance", retry_after=retry_after)
    if status >= 500:
        return Unavailable(f"the store failed with status {status}")
    return BadAnswer(f"the store answered with status {status}")


def _seconds(answer: Response) -> float | None:
    text = answer.header(b"retry-after") or ""
    return float(text) if text.isascii() and text.isdigit() else None
