"""What authorises an account's requests: a secret as it was given, or tokens that are had by OAuth 2.0.

RFC 6749: the client acts for itself (4.4), or for somebody whose refresh token it was given (6).
"""

import ssl
import time
from base64 import b64encode
from typing import Protocol
from urllib.parse import quote_plus

from pydantic import SecretStr

from connectors.http.settings import HttpSettings
from connectors.http1.authorisation import NOBODY, Authorisation, basic, bearer, header, parameter
from connectors.http1.tokens import Issued, Tokens, TokenServer
from connectors.interface import BadCredential, Context, Renewed

_ANEW = "the account has to be connected anew"
_WORDS = {  # RFC 6749, 5.2
    "": "the token server does not accept the request: are token_url and client_auth right?",
    "invalid_client": "the token server does not accept the account's client_id and client_secret",
    "invalid_grant": f"the token server does not accept the account's refresh token any more: {_ANEW}",
    "invalid_scope": "the token server does not give the account's scope",
    "unauthorized_client": "the token server does not let the account's client ask for tokens in this way",
    "unsupported_grant_type": "the token server does not give tokens in this way",
}


class Credentials(Protocol):
    """Knows what the next request carries."""

    async def current(self, *, refused: bool = False) -> Authorisation:
        """The authorisation; after a refusal (401) a better one.

        Raises BadCredential when there is none, and what asking for one raises.
        """
        ...

    async def aclose(self) -> None:
        """Closes its connections."""
        ...


def credentials_of(settings: HttpSettings, context: Context) -> Credentials:
    """Of an account."""
    if settings.auth == "oauth":
        return OAuth(settings, context)
    token, name = _plain(settings.token), settings.username or ""
    declared = {
        "none": lambda: NOBODY,
        "basic": lambda: basic(name, _plain(settings.password)),
        "bearer": lambda: bearer(token),
        "header": lambda: header(settings.header_name or "", token, settings.token_prefix or ""),
        "query": lambda: parameter(settings.parameter or "", token),
    }
    return Fixed(declared[settings.auth]())


class Fixed:
    """A secret that is what it is."""

    def __init__(self, authorisation: Authorisation) -> None:
        self._authorisation = authorisation

    async def current(self, *, refused: bool = False) -> Authorisation:
        """Always the same; there is nothing better."""
        if refused and self._authorisation is NOBODY:
            raise BadCredential("the API asks who this is, and the account has no credential")
        if refused:
            raise BadCredential("the API does not accept the account's credential")
        return self._authorisation

    async def aclose(self) -> None:
        """Nothing is open."""


class OAuth:
    """Access tokens from the account's token server, which may be another host than the API.

    It is reached as the API is: by the account's dialer, so through the same network. Others may have the
    account open too: tokens are shared with them.
    """

    def __init__(self, settings: HttpSettings, context: Context) -> None:
        url = settings.token_url or ""
        tls = ssl.create_default_context(cadata=settings.token_ca) if url.startswith("https:") else None
        self._server = TokenServer(url, context, tls, _WORDS)
        self._tokens = Tokens(self._server, self._exchange)
        self._renewals = context.renewals
        self._client = settings.client_id or ""
        self._secret = _plain(settings.client_secret)
        self._in_body = settings.client_auth == "body" or not self._secret
        self._scope = settings.scope
        self._consent = _plain(settings.refresh_token)

    async def current(self, *, refused: bool = False) -> Authorisation:
        """By the current token; after a refusal a new one, at most one for all who had the same."""
        if refused:
            self._tokens.refused()
        return bearer(await self._tokens.current())

    async def aclose(self) -> None:
        """Lets a running exchange end, and closes the connection to the token server."""
        await self._tokens.aclose()

    async def _exchange(self, spent: str) -> Issued:
        """A token in place of the one that is spent, which may be somebody else's by now."""
        shared = await self._renewals.renewed(self._consent, spent, self._ask)
        return Issued(shared.token, shared.until - time.time())

    async def _ask(self, refresh_token: str) -> Renewed:
        """What the token server gives; the refresh token is the same one where it gives no other.

        A client that acts for itself has no use for one (RFC 6749, 4.4.3).
        """
        issued = await self._server.ask(self._form(refresh_token), self._fields())
        following = refresh_token and (issued.refresh_token or refresh_token)
        return Renewed(issued.token, time.time() + issued.good_for, following)

    def _form(self, refresh_token: str) -> dict[str, str]:
        if refresh_token:
            form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        else:
            form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        if self._in_body:
            form["client_id"] = self._client
            if self._secret:
                form["client_secret"] = self._secret
        return form

    def _fields(self) -> list[tuple[bytes, bytes]]:
        """The client by Basic, its parts form-encoded beforehand (RFC 6749, 2.3.1)."""
        if self._in_body:
            return []
        pair = f"{quote_plus(self._client)}:{quote_plus(self._secret)}"
        return [(b"authorization", b"Basic " + b64encode(pair.encode()))]


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
