"""Access tokens from a token server (RFC 6749): kept until shortly before their end, renewed when refused."""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from connectors.http1.client import Response
from connectors.http1.connection import Headers
from connectors.http1.places import client_of
from connectors.interface import (
    BadAnswer,
    BadCredential,
    Context,
    Origin,
    StoreError,
    Throttled,
    Unavailable,
)

_EARLY = 300.0  # seconds before its end that a token is not used any more
_UNTOLD = 600.0  # seconds that a token lives whose server does not say (RFC 6749, 5.1 only recommends it)
_REFUSED_LATE = 10.0
_FINISH_WITHIN = 5.0
_LARGEST_ANSWER = 64 * 1024
_REFUSED = (400, 401, 403)  # RFC 6749, 5.2, and what some say for it


@dataclass(frozen=True, slots=True)
class Issued:
    """What a token server gave (RFC 6749, 5.1).

    Attributes:
        good_for: seconds from now that it is used: until shortly before its end.
        refresh_token: to be used from now on, where the server gave a new one.
    """

    token: str = field(repr=False)
    good_for: float
    refresh_token: str | None = field(default=None, repr=False)


class TokenServer:
    """One token endpoint, over the account's own dialer. Redirects are not followed: they are an error.

    Args:
        url: of http or https.
        context: the account's.
        tls: trusts the server's certificate.
        words: what its refusals mean to the account's owner, by their `error` (RFC 6749, 5.2); `""` else.
    """

    def __init__(
        self, url: str, context: Context, tls: ssl.SSLContext | None, words: Mapping[str, str]
    ) -> None:
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._client = client_of(Origin.of(url), context, tls, max_connections=1)
        self._words = words

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._client.aclose()

    async def ask(self, form: Mapping[str, str], fields: Headers = ()) -> Issued:
        """A token for what the form says.

        Raises:
            BadCredential: the server does not accept what was sent.
            Unavailable, TimedOut, Throttled, BadAnswer, UntrustedHost: as for any request.
        """
        kinds = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        answer = await self._client.request(
            "POST", self._target, [*kinds, *fields], body=urlencode(form).encode()
        )
        if answer.status not in (200, *_REFUSED):
            await answer.aclose()
            raise _failure(answer)
        told = await _document(answer)
        if answer.status != 200 or "error" in told:  # some refuse with a 200
            raise BadCredential(self._meaning(told.get("error")))
        token, kind = told.get("access_token", ""), told.get("token_type", "bearer")
        renewed = told.get("refresh_token") or None
        if not _is_sendable(token) or not isinstance(kind, str) or kind.lower() != "bearer":
            raise BadAnswer("the token server's answer has no token that HTTP can carry")
        if renewed is not None and not _is_sendable(renewed):
            raise BadAnswer("the token server's answer has a refresh token that is none")
        lives = _seconds(told.get("expires_in"))
        return Issued(token, lives - min(_EARLY, lives / 2), renewed)

    def _meaning(self, code: object) -> str:
        """Of a refusal. The server's own words are not passed on: they may have what was sent."""
        return self._words[code if isinstance(code, str) and code in self._words else ""]


class Tokens:
    """An account's current access token: one exchange at a time, whose result all who wait for it share.

    An exchange is not cancelled with whoever asked first: a server that gives a new refresh token with each
    access token has dropped the former one by then.

    Args:
        server: is closed with this.
        exchange: asks it for a token in place of one; that is `""` at first.
        clock: seconds.
    """

    def __init__(
        self,
        server: TokenServer,
        exchange: Callable[[str], Awaitable[Issued]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._exchange = exchange
        self._clock = clock
        self._renewing: asyncio.Future[None] | None = None
        self._token = ""
        self._good_until = 0.0
        self._was_refused = False
        self._replaced = float("-inf")

    async def aclose(self) -> None:
        """Lets a running exchange come to its end, for 5 seconds; closes the connection."""
        if self._renewing is not None:
            await asyncio.wait({self._renewing}, timeout=_FINISH_WITHIN)
        await self._server.aclose()

    async def current(self) -> str:
        """A token that is good for a while. Raises what the exchange raises."""
        if self._clock() >= self._good_until:
            if self._renewing is None:
                self._renewing = asyncio.ensure_future(self._renew())
                self._renewing.add_done_callback(self._renewed)
            await asyncio.shield(self._renewing)
        return self._token

    def refused(self, token: str | None = None) -> None:
        """The store did not accept this token: the next one asked for is new, unless it already is.

        None where nobody knows which: within 10 seconds after a refused token was replaced, further
        refusals are taken for its own, so that many requests that had it cost one exchange.
        """
        if token is None and self._clock() < self._replaced + _REFUSED_LATE:
            return
        if token in (None, self._token):
            self._good_until = 0.0
            self._was_refused = True

    async def _renew(self) -> None:
        issued = await self._exchange(self._token)
        now = self._clock()
        self._token = issued.token
        self._good_until = now + issued.good_for
        if self._was_refused:
            self._was_refused, self._replaced = False, now

    def _renewed(self, done: asyncio.Future[None]) -> None:
        self._renewing = None
        if not done.cancelled():
            done.exception()  # nobody may be left to take it


def _failure(answer: Response) -> StoreError:
    status, after = answer.status, answer.header(b"retry-after") or ""
    if status == 429:
        seconds = float(after) if after.isascii() and after.isdigit() else None
        return Throttled("the token server asks for fewer requests", retry_after=seconds)
    if status >= 500:
        return Unavailable(f"the token server failed with status {status}")
    return BadAnswer(f"the token server answered with status {status}: is its address right?")


async def _document(answer: Response) -> dict[str, Any]:
    """The answer's JSON object; an empty one where it is none."""
    try:
        told = json.loads(await answer.read(_LARGEST_ANSWER))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _is_sendable(token: object) -> bool:
    return isinstance(token, str) and token != "" and token.isascii() and token.isprintable()


def _seconds(told: object) -> float:
    """`expires_in`, which some servers write as a string."""
    if told is None:
        return _UNTOLD
    try:
        lives = float(told)  # type: ignore[arg-type]  # whatever JSON had
    except (TypeError, ValueError):
        lives = 0.0
    if not 0 < lives < float("inf"):
        raise BadAnswer("the token server's answer has a token whose life is no number of seconds")
    return lives
