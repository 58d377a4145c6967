"""Access tokens for a service account: a signed assertion in exchange for a token (RFC 7523, 2.1).

https://developers.google.com/identity/protocols/oauth2/service-account#httprest says it with examples.
"""

import json
import ssl
import time
from base64 import urlsafe_b64encode

from connectors.gcs.credentials import ServiceAccount
from connectors.http1.tokens import Issued, Tokens, TokenServer
from connectors.interface import Context

# what objects.patch needs at least; what the account may do is for its roles to say
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIVES = 3600  # seconds, the most that is allowed
_WORDS = {
    "": "the token server does not accept the service account's key: "
    "was it deleted or disabled, or is the gateway's clock wrong?"
}


def tokens_of(account: ServiceAccount, context: Context, tls: ssl.SSLContext) -> Tokens:
    """The account's access tokens, from the token server that its key file names."""
    server = TokenServer(account.token_uri, context, tls, _WORDS)

    async def exchange(_: str) -> Issued:
        return await server.ask({"grant_type": _GRANT, "assertion": assertion(account, int(time.time()))})

    return Tokens(server, exchange)


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
