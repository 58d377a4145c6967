"""A request in the store's own API, sent for a caller: authorised here, streamed both ways.

The caller says where to by a URI; where it may lead is the connector's to say, and redirects are passed on as
they are. The answer comes without what would act on the gateway's own connection or host, and without the
secrets that were put in.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

from connectors.http1 import Response
from connectors.http1.connection import Body
from connectors.interface import (
    Authorised,
    BadAnswer,
    CanAuthorise,
    InvalidName,
    NotPermitted,
    Origin,
    Payload,
    Request,
    Unavailable,
)
from gateway.access.scrubbing import Scrubber
from gateway.operations import wire
from gateway.worker.accounts import OpenAccount
from gateway.worker.answers import Started
from gateway.worker.desk import Arguments, Desk, busy
from gateway.worker.operations import grants

type Fields = Sequence[tuple[str, str]]

_REPLAYED: Final = 64 * 1024
"""Bytes of a body that are held, so that it can be sent again, and its digest be signed."""
_STATUSES = range(200, 600)  # RFC 9110, 15
_LARGEST_HEAD = 48 * 1024  # of an answer; beside it the line between worker and api holds its own
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_URI = re.compile(r"[!$-;=?-\[\]-~]*")  # what a request's target may have; no fragment
_PORTS = {"http": 80, "https": 443}
_FRAMING = frozenset({"host", "content-length", "transfer-encoding"})  # our client's to say
_CONNECTIONS = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "proxy-authenticate", "proxy-authorization"),
    }
)
# what the store says to its own client, or would have a browser do with the gateway's host
_NOT_FOR_CALLERS = frozenset(
    {
        *("set-cookie", "set-cookie2", "www-authenticate", "authentication-info"),
        *("alt-svc", "clear-site-data", "strict-transport-security", "x-request-id"),
    }
)


async def send(
    desk: Desk,
    arguments: Arguments,
    body: AsyncIterator[bytes] | None,
    answer: Started,
    over: asyncio.Event,
) -> None:
    """Sends the request and passes on its answer; `over` is set once no more of the body is wanted."""
    account, connector = await grants.able(desk, arguments)
    origin, target = place(connector.origins(), arguments["uri"])
    with busy(account):
        content, length, payload, digest = await _content(body, arguments["length"])
        fields = [(name, value) for name, value in arguments["fields"] if name not in _FRAMING]
        fields.append(("accept-encoding", "identity"))  # what is compressed can't be looked through
        if content is not None and length is not None:
            fields.append(("content-length", str(length)))
        request = Request(arguments["method"], origin, target, fields, payload, digest)
        sending = _Sending(desk, account, connector, request, arguments["actor"])
        response, made = await sending.answer(content, length)
        over.set()
        await _pass_on(request.method, response, Scrubber(made.secrets), answer)


def place(origins: Sequence[Origin], uri: str) -> tuple[Origin, str]:
    """Where a URI leads: one of the origins, path and query. Relative ones are resolved at the first.

    As RFC 3986, 5.2 has it, but for `.` and `..`, which are left to be refused.

    Raises InvalidName for what is no URI, NotPermitted for one that leads elsewhere.
    """
    if not _URI.fullmatch(uri):
        raise InvalidName("the URI must be percent-encoded, and have no fragment")
    first = origins[0]
    if _ABSOLUTE.match(uri) is None:
        if not uri.startswith("/"):
            return first, first.path + uri
        here = [one for one in origins if one.authority == first.authority and one.scheme == first.scheme]
        return _nearest(here, uri)
    try:
        parts = urlsplit(uri, scheme=first.scheme)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise InvalidName("the URI is malformed") from None
    if "@" in parts.netloc:
        raise NotPermitted("the URI must have no user name or password")
    here = [one for one in origins if (one.scheme, one.host, one.port) == (parts.scheme, host, port)]
    if not here:
        raise NotPermitted("the URI's host is not one of the account's")
    return _nearest(here, (parts.path or "/") + (f"?{parts.query}" if "?" in uri else ""))


def _nearest(origins: Sequence[Origin], target: str) -> tuple[Origin, str]:
    """Of several places at one host the one that the path seems to be below; the connector looks closer."""
    fit = (one for one in origins if f"{target.partition('?')[0]}/".startswith(one.path))
    return next(fit, origins[0]), target


class _Sending:
    """One request, sent once, or twice where the store asks for its authorisation anew."""

    def __init__(
        self, desk: Desk, account: OpenAccount, connector: CanAuthorise, request: Request, actor: str
    ) -> None:
        self._desk = desk
        self._account = account
        self._connector = connector
        self._request = request
        self._actor = actor

    async def answer(self, content: Body, length: int | None) -> tuple[Response, Authorised]:
        """The answer's head, and what was sent.

        Raises what `Client.request` and `authorise` raise; Unavailable when the body is gone that would
        have to be sent again.
        """
        body = content if content is None or isinstance(content, bytes) else _Once(content)
        made = await self._authorised(None)
        response = await self._sent(made, body, length)
        if response.status != 401:
            return response, made
        refused = response.header(b"www-authenticate") or ""  # some APIs say nothing
        await response.aclose()
        made = await self._authorised(refused)
        if isinstance(body, _Once) and body.begun:
            raise Unavailable(
                "the store asked for a new authorisation when the body was under way: repeat it"
            )
        return await self._sent(made, body, length), made

    async def _authorised(self, refused: str | None) -> Authorised:
        return await grants.authorise(
            self._desk, self._account, self._connector, self._request, actor=self._actor, refused=refused
        )

    async def _sent(self, made: Authorised, body: "bytes | _Once | None", length: int | None) -> Response:
        headers = [(n.encode(), v.encode("latin-1")) for n, v in made.fields if n not in _FRAMING]
        stale = any(name == b"authorization" and value.startswith(b"Digest ") for name, value in headers)
        if isinstance(body, _Once) and stale:  # a nonce ages: the server says so before the body is gone
            headers.append((b"expect", b"100-continue"))
        client = await self._account.senders.to(self._request.origin)
        return await client.request(
            self._request.method, made.target, headers, body=body, length=None if body is None else length
        )


class _Once:
    """A body that can be sent once; knows whether it was begun."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.begun = False

    def __aiter__(self) -> "_Once":
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        return await anext(self._pieces)


async def _content(
    body: AsyncIterator[bytes] | None, length: int | None
) -> tuple[Body, int | None, Payload, str | None]:
    """The body as it is sent, its length, and what is known of it: a small one is held, others stream."""
    if body is None:
        return None, None, Payload.NONE, None
    if length is None or length > _REPLAYED:
        return body, length, Payload.UNSIGNED, None
    held = b"".join([piece async for piece in body])
    return held, len(held), Payload.DIGEST, hashlib.sha256(held).hexdigest()


async def _pass_on(method: str, response: Response, scrubber: Scrubber, answer: Started) -> None:
    """The answer's head as a caller may see it, and its body as it comes."""
    try:
        if response.status not in _STATUSES:
            raise BadAnswer("the store's answer has a status that HTTP does not have")
        bodiless = method == "HEAD" or response.status in (204, 304)
        given = response.header(b"content-length")
        length = 0 if bodiless else int(given) if given is not None else None
        if response.header(b"transfer-encoding") is not None:
            length = None
        head = {"status": response.status, "fields": _shown(response, scrubber, bodiless), "length": length}
        if len(wire.pack(head)) > _LARGEST_HEAD:
            raise BadAnswer("the head of the store's answer is larger than we pass on")
        await answer.start(head, length)
        through = scrubber.body(lambda name: response.header(name.encode()))
        async with aclosing(response.chunks()) as chunks:
            async for piece in chunks:
                passed = piece if isinstance(through, bool) else through(piece)
                if passed:
                    await answer.piece(passed)
        if not isinstance(through, bool) and (rest := through(b"")):
            await answer.piece(rest)
        await answer.end()
    finally:
        await response.aclose()


def _shown(response: Response, scrubber: Scrubber, bodiless: bool) -> Fields:
    """The headers that are the caller's; of an answer without a body the length that it would have."""
    fields = [(scrubber.name(name.decode()), _masked(value, scrubber)) for name, value in response.headers]
    named = {
        token.strip().lower() for name, value in fields if name == "connection" for token in value.split(",")
    }
    shown = [
        (name, value)
        for name, value in fields
        if name not in _CONNECTIONS | _NOT_FOR_CALLERS | named and not name.startswith("access-control-")
    ]
    if bodiless and (length := response.header(b"content-length")) is not None:
        shown.append(("x-kloudless-raw-content-length", length))
    return shown


def _masked(value: bytes, scrubber: Scrubber) -> str:
    """The header's value without secrets, as Latin-1 reads it; secrets stand in it as UTF-8."""
    shown = scrubber.text(value.decode("utf-8", "surrogateescape"))
    return shown.encode("utf-8", "surrogateescape").decode("latin-1")
