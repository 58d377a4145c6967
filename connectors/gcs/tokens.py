"""Access tokens for a service account: a signed assertion in exchange for a token (RFC 7523, 2.1).

https://developers.google.com/identity/protocols/oauth2/service-account#httprest says it with examples.
"""

import asyncio
import json
import ssl
import time
from base64 import urlsafe_b64encode
from urllib.parse import urlencode, urlsplit

from connectors.gcs.credentials import ServiceAccount
from connectors.gcs.origin import Origin
from connectors.http1 import Response
from connectors.interface import BadAnswer, BadCredential, Context, StoreError, Throttled, Unavailable

# what objects.patch needs at least; what the account may do is for its roles to say
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIVES = 3600  # seconds, the most that is allowed
_EARLY = 300.0  # seconds before its end that a token is not used any more
_LARGEST_ANSWER = 64 * 1024


class Tokens:
    """The account's current access token, renewed shortly before its end: one request at a time."""

    def __init__(self, account: ServiceAccount, context: Context, tls: ssl.SSLContext) -> None:
        self._account = account
        self._client = Origin.of(account.token_uri).client(context, tls, max_connections=1)
        self._renewing = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def aclose(self) -> None:
        """Closes the connection to the token server."""
        await self._client.aclose()

    async def current(self) -> str:
        """A token that is good for a while.

        Raises:
            BadCredential: the token server does not accept the account's key.
            Unavailable, TimedOut, Throttled, BadAnswer, UntrustedHost: as for any request.
        """
        if time.monotonic() >= self._good_until:
            async with self._renewing:
                if time.monotonic() >= self._good_until:  # nobody renewed it while we waited
                    self._token, lives = await self._exchange()
                    self._good_until = time.monotonic() + lives - min(_EARLY, lives / 2)
        return self._token

    def refused(self, token: str) -> None:
        """The store did not accept this token: the next one asked for is new, unless it already is."""
        if token == self._token:
            self._good_until = 0.0

    async def _exchange(self) -> tuple[str, float]:
        """A new token, and the seconds that it lives (RFC 6749, 5.1)."""
        url = urlsplit(self._account.token_uri)
        form = urlencode({"grant_type": _GRANT, "assertion": assertion(self._account, int(time.time()))})
        answer = await self._client.request(
            "POST",
            (url.path or "/") + (f"?{url.query}" if url.query else ""),
            [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")],
            body=form.encode(),
        )
        if answer.status != 200:
            raise await _refusal(answer)
        try:
            told = json.loads(await answer.read(_LARGEST_ANSWER))
            token, lives = told["access_token"], float(told["expires_in"])
        except (ValueError, TypeError, KeyError):
            raise BadAnswer("the token server's answer has no token") from None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or lives <= 0:
            raise BadAnswer("the token server's answer has no token that HTTP can carry")
        return token, lives


def assertion(account: ServiceAccount, now: int) -> str:
    """A JSON Web Token (RFC 7519), signed RS256, that asks for access in the account's own name."""
    head = {"alg": "RS256", "typ": "JWT", "kid": account.key_id}
    claims = {
        "iss": account.email,
        "scope": _SCOPE,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + _ASSERTION_LIVES,
    }
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    return (signed + b"." + _base64(account.sign(signed))).decode()


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


async def _refusal(answer: Response) -> StoreError:
    await answer.aclose()
    if answer.status in (400, 401, 403):  # RFC 6749, 5.2: invalid_grant and its like
        return BadCredential(
            "the token server does not accept the service account's key: "
            "was it deleted or disabled, or is the gateway's clock wrong?"
        )
    if answer.status == 429:
        return Throttled("the token server asks for fewer requests")
    if answer.status >= 500:
        return Unavailable(f"the token server failed with status {answer.status}")
    return BadAnswer(f"the token server answered with status {answer.status}: is token_uri right?")
