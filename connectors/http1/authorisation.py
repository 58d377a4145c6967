"""How a secret goes on requests, by declaration: in a header, in a query parameter, or not at all.

Whoever holds an account's secret declares its place once. Requests that others made get it instead of what
they had there themselves, and what comes back names the spellings in which an answer could show the secret.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus, unquote_plus

from connectors.http1.others import kept
from connectors.interface import Authorised, Request

type Pair = tuple[str, str]

_PARTS = re.compile(r"[&;]?[^&;]*")  # some servers take ; for & (HTML 4.01, B.2.2)
_ESCAPED = re.compile(r"%[0-9A-F]{2}")


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A secret and its place on each of an account's requests.

    Attributes:
        header: the name, in lower case, and the value.
        parameter: name and value in the query, plain.
        secrets: what is to be scrubbed from answers.
    """

    header: Pair | None = field(default=None, repr=False)
    parameter: Pair | None = field(default=None, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    @property
    def fields(self) -> Sequence[Pair]:
        """The headers that it adds, at most one."""
        return () if self.header is None else (self.header,)

    def target(self, target: str) -> str:
        """Path and query with the parameter, instead of any of its name; the rest stays as it is."""
        if self.parameter is None:
            return target
        name, value = self.parameter
        path, _, query = target.partition("?")
        others = "".join(part for part in _PARTS.findall(query) if _name(part) != _plain(name))
        mine = f"{quote(name, safe='')}={quote(value, safe='')}"
        return f"{path}?{others.lstrip('&;')}&{mine}" if others else f"{path}?{mine}"

    def put(self, request: Request, dropped: Iterable[str] = ()) -> Authorised:
        """The request with this authorisation, without its caller's own and the dropped headers."""
        gone = {*dropped}
        if self.header is not None:
            # what CGI and its heirs read as the same name (RFC 3875, 4.1.18): x_api_key is X-Api-Key
            gone.update(one for one, _ in request.fields if one.replace("_", "-") == self.header[0])
        return Authorised(
            self.target(request.target), [*kept(request, gone), *self.fields], tuple(self.secrets)
        )


NOBODY: Final = Authorisation()
"""Of an account that has no secret: what the caller came with is taken off all the same."""


def basic(username: str, password: str) -> Authorisation:
    """By name and password (RFC 7617), in UTF-8."""
    pair = b64encode(f"{username}:{password}".encode()).decode()
    # some services have a key for the name, and no password
    return Authorisation(("authorization", f"Basic {pair}"), None, spellings(pair, password or username))


def bearer(token: str) -> Authorisation:
    """By a token in the Authorization header (RFC 6750, 2.1)."""
    return header("authorization", token, "Bearer")


def header(name: str, token: str, prefix: str = "") -> Authorisation:
    """By a token in a header; a prefix that ends with a letter or digit is a word, and a space follows it."""
    between = " " if prefix[-1:].isalnum() else ""
    return Authorisation((name.lower(), f"{prefix}{between}{token}"), None, spellings(token))


def parameter(name: str, token: str) -> Authorisation:
    """By a token in the query, as RFC 6750, 2.3 has it of `access_token`."""
    return Authorisation(None, (name, token), spellings(token))


def spellings(*secrets: str) -> Sequence[str]:
    """The secrets as answers may show them: raw, and encoded for URLs, JSON, HTML, or by base64.

    Base64 is found of the secret alone: within a longer text it looks otherwise.
    """
    return tuple(dict.fromkeys(one for secret in secrets if secret for one in _spelled(secret)))


def _spelled(secret: str) -> Iterable[str]:
    yield secret
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield _ESCAPED.sub(lambda found: found[0].lower(), encoded)
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")  # as PHP writes it
    yield html.escape(secret, quote=False)
    yield html.escape(secret, quote=True)
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(secret.encode()).decode().rstrip("=")


def _name(part: str) -> str:
    return _plain(unquote_plus(part.lstrip("&;").partition("=")[0], errors="surrogateescape"))


def _plain(name: str) -> str:
    """As lenient servers compare names of parameters."""
    return name.strip().lower()
