"""Kinds of values that several connectors' settings have, each checked in one place."""

import ssl
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field


def _certificates(ca: str | None) -> str | None:
    if ca:
        try:
            ssl.create_default_context(cadata=ca)
        except ssl.SSLError:
            raise ValueError("must be PEM certificates (-----BEGIN CERTIFICATE-----)") from None
    return ca or None


def _folder(prefix: str) -> str:
    prefix = prefix.strip("/")
    if prefix and any(part in ("", ".", "..") or "\0" in part for part in prefix.split("/")):
        raise ValueError("must be a folder's path, without empty parts")
    return prefix


Certificates = Annotated[
    str | None,
    AfterValidator(_certificates),
    Field(description="PEM certificates to trust for TLS; empty: the gateway machine's own."),
]
"""Who is trusted, as PEM; None for those that the machine trusts."""

Prefix = Annotated[str, AfterValidator(_folder)]
"""A path of keys, without slashes around it; empty for all of them."""


def checked_url(url: str, like: str, *, with_path: bool) -> str:
    """The URL, if it is one of http or https with a host and nothing that is a setting of its own.

    Raises ValueError, which says what it must be `like`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be like {like}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"must have no user, query or fragment: it is like {like}")
    if parts.path.strip("/") and not with_path:
        raise ValueError(f"must have no path: it is like {like}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is no number from 0 to 65535") from None
    return url
