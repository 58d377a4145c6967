"""What an account of the HTTP connector needs: where the API is, and how it wants to be asked."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.interface import Settings
from connectors.interface.identity import ClientCertificate, ClientKey
from connectors.interface.values import Certificates, checked_url

Kind = Literal["none", "basic", "bearer", "header", "query", "oauth"]

_TAKES: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {  # what each needs, and may have
    "none": ((), ()),
    "basic": (("username",), ("password",)),
    "bearer": (("token",), ()),
    "header": (("header_name", "token"), ("token_prefix",)),
    "query": (("parameter", "token"), ()),
    "oauth": (
        ("token_url", "client_id"),
        ("client_secret", "client_auth", "refresh_token", "scope", "token_ca"),
    ),
}
_OF_ONE_KIND = {name for needed, more in _TAKES.values() for name in (*needed, *more)} - {"username"}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x20-\x7e]+")
# how a request is framed, where it goes and what comes back: not for a secret
_OTHER_HEADERS = re.compile(
    r"host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|range|if-.*"
    r"|accept.*|proxy-.*|x-kloudless-.*|x-forwarded-.*|forwarded|via",
    re.IGNORECASE,
)


class HttpSettings(Settings):
    """A URL below which an HTTP API is, and the authorisation of requests to it."""

    url: str = Field(description="The API's address, as its network knows it: https://api.example/v1/")
    auth: Kind = Field(
        description="How requests are authorised: none; basic (username, password); bearer (token); "
        "header (header_name, token, token_prefix); query (parameter, token); oauth (token_url, ...)."
    )
    username: str | None = Field(
        default=None, description="Of basic. Otherwise only what people see of the account."
    )
    password: SecretStr | None = Field(
        default=None, description="Of basic; empty where the username is the key."
    )
    token: SecretStr | None = Field(default=None, description="Of bearer, header and query: the secret.")
    header_name: str | None = Field(default=None, description="Of header, such as X-Api-Key.")
    token_prefix: str | None = Field(
        default=None,
        description="Of header: what stands before the token, such as Token; a space follows a word.",
    )
    parameter: str | None = Field(default=None, description="Of query: its name, such as api_key.")
    token_url: str | None = Field(
        default=None, description="Of oauth: the token endpoint, reached through the same network."
    )
    client_id: str | None = Field(default=None, description="Of oauth.")
    client_secret: SecretStr | None = Field(
        default=None, description="Of oauth; empty for a public client, which needs a refresh token."
    )
    client_auth: Literal["basic", "body"] | None = Field(
        default=None, description="Of oauth: where the client's secret goes: basic (if empty), or body."
    )
    refresh_token: SecretStr | None = Field(
        default=None, description="Of oauth: somebody's consent. Empty: the client acts for itself."
    )
    scope: str | None = Field(default=None, description="Of oauth: what is asked for, parts by spaces.")
    token_ca: Certificates = Field(
        default=None,
        description="Of oauth: PEM certificates to trust for token_url; empty: the gateway machine's own.",
    )
    ca: Certificates = None
    client_certificate: ClientCertificate = None
    client_key: ClientKey = None

    @field_validator(*sorted(_OF_ONE_KIND | {"username"}), mode="before")
    @classmethod
    def _nothing(cls, given: object) -> object:
        return None if given == "" else given

    @field_validator("url")
    @classmethod
    def _api(cls, url: str) -> str:
        return checked_url(url, "https://HOST[:PORT]/PATH/", with_path=True)

    @field_validator("token_url")
    @classmethod
    def _endpoint(cls, url: str | None) -> str | None:
        return url and checked_url(url, "https://HOST[:PORT]/PATH", with_path=True)

    @field_validator("header_name")
    @classmethod
    def _header(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError("must be a header's name: letters, digits and hyphens")
        if name is not None and _OTHER_HEADERS.fullmatch(name):
            raise ValueError("must be a header that says who asks, not how")
        return name

    @field_validator("username")
    @classmethod
    def _user(cls, name: str | None) -> str | None:
        if name is not None and (":" in name or not name.isprintable()):  # RFC 7617, 2
            raise ValueError("must have no colon and no control characters")
        return name

    @field_validator("token_prefix", "scope", "client_id")
    @classmethod
    def _plain(cls, text: str | None) -> str | None:
        if text is not None and not _VALUE.fullmatch(text):
            raise ValueError("must be printable ASCII")
        return text

    @field_validator("token", "refresh_token", "client_secret")
    @classmethod
    def _secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _VALUE.fullmatch(secret.get_secret_value()):
            raise ValueError("must be printable ASCII, without an end of line")
        return secret

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        needed, more = _TAKES[self.auth]
        given = {name for name in _OF_ONE_KIND if getattr(self, name) is not None}
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"auth {self.auth} needs {', '.join(missing)}")
        if foreign := sorted(given - {*needed, *more}):
            raise ValueError(f"auth {self.auth} does not take {', '.join(foreign)}")
        if self.auth == "oauth" and self.client_secret is None and self.refresh_token is None:
            raise ValueError("auth oauth needs client_secret, or the refresh_token of a public client")
        return self

    def trusting(self, authorities: str | None) -> Self:
        """As any settings; the token endpoint is reached through the same network, and trusted alike."""
        made = super().trusting(authorities)
        return made if made.token_ca else made.model_copy(update={"token_ca": authorities})

    def display_name(self) -> str:
        """`user@host`, or the host."""
        host = urlsplit(self.url).hostname or ""
        return f"{self.username}@{host}" if self.username else host
