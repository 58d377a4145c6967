"""Shared Key signatures, of requests and of URLs for others.

Microsoft's pages "Authorize with Shared Key" (version 2015-02-21 and later) and "Create a service SAS"
(version 2020-12-06 and later).
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

type Query = Sequence[tuple[str, str]]
type Fields = Mapping[str, str]

_SIGNED_FIELDS = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
_SAS_FIELDS = (
    *("sp", "st", "se", "resource", "si", "sip", "spr", "sv", "sr", "snapshot", "ses"),
    *("rscc", "rscd", "rsce", "rscl", "rsct"),
)


class SharedKey:
    """One of an account's keys."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = b64decode(key)

    def authorization(self, method: str, path: str, query: Query, fields: Fields) -> str:
        """The header's value.

        Args:
            method: of the request.
            path: as it is sent, percent-encoded.
            query: names and values, plain.
            fields: every header, names in lower case, `x-ms-date` and `content-length` included.
        """
        text = string_to_sign(self._account, method, path, query, fields)
        return f"SharedKey {self._account}:{self._signature(text)}"

    def blob_sas(
        self, container: str, blob: str, *, permissions: str, expires: datetime, version: str, https: bool
    ) -> str:
        """A query that lets whoever has it do as `permissions` say with one blob, until `expires` (UTC)."""
        told = {"sp": permissions, "se": f"{expires:%Y-%m-%dT%H:%M:%SZ}", "sv": version, "sr": "b"}
        if https:
            told["spr"] = "https"
        signed = {**told, "resource": f"/blob/{self._account}/{container}/{blob}"}
        text = "\n".join(signed.get(name, "") for name in _SAS_FIELDS)
        return urlencode({**told, "sig": self._signature(text)})

    def _signature(self, text: str) -> str:
        return b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()


def string_to_sign(account: str, method: str, path: str, query: Query, fields: Fields) -> str:
    """What is signed of a request. A length of zero is an empty line."""
    length = fields.get("content-length", "")
    standard = {**fields, "content-length": "" if length == "0" else length}
    own = sorted((name, " ".join(value.split())) for name, value in fields.items() if name[:5] == "x-ms-")
    asked = sorted((name.lower(), value) for name, value in query)
    return "\n".join(
        (
            method,
            *(standard.get(name, "") for name in _SIGNED_FIELDS),
            *(f"{name}:{value}" for name, value in own),
            f"/{account}{path}",
            *(f"{name}:{value}" for name, value in asked),
        )
    )
