"""Public ids: opaque URL-safe text, bound to one account, made and read here alone.

Layout: kind (1 byte: `f` or `d`) | raw id (UTF-8) | tag (10 bytes), base64url without padding. The tag is
HMAC-SHA256 over account id, kind and raw id, cut to 80 bits: an id of another account, or a made-up one,
does not verify, and reads exactly like one that does not exist.
"""

import base64
import binascii
import hashlib
import hmac

from connectors.interface import Kind, NotFound

LONGEST = 8192
_TAG = 10
_LETTER = {Kind.FILE: b"f", Kind.FOLDER: b"d"}
_KIND = {letter: kind for kind, letter in _LETTER.items()}


class Ids:
    """Makes and reads the public ids of one account."""

    def __init__(self, secret: bytes, account: int) -> None:
        self._key = hashlib.sha256(b"isthmus ids" + account.to_bytes(8, "big") + secret).digest()

    def make(self, raw_id: str, kind: Kind) -> str:
        """The public id; the same entry always has the same one. The root folder is `root`."""
        if raw_id == "" and kind is Kind.FOLDER:
            return "root"
        body = _LETTER[kind] + raw_id.encode("utf-8", "surrogateescape")
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode()

    def of(self, raw_id: str, kind: str) -> str:
        """The public id, the kind by its name."""
        return self.make(raw_id, Kind(kind))

    def read(self, public: str, kind: str | None = None) -> tuple[str, Kind]:
        """Raw id and kind. Raises NotFound for what this account never had, or another kind than asked."""
        found = ("", Kind.FOLDER) if public == "root" else self._verified(public)
        if kind is not None and found[1] != kind:
            raise NotFound(f"there is no such {kind}")
        return found

    def _verified(self, public: str) -> tuple[str, Kind]:
        missing = NotFound("there is no such file or folder")
        if len(public) > LONGEST:
            raise missing
        try:
            whole = base64.b64decode(public + "=" * (-len(public) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise missing from None
        body, tag = whole[:-_TAG], whole[-_TAG:]
        if body[:1] not in _KIND or not hmac.compare_digest(tag, self._tag(body)):
            raise missing
        return body[1:].decode("utf-8", "surrogateescape"), _KIND[body[:1]]

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_TAG]
