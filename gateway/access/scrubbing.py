"""Takes what was injected out of the answer, should the store send it back.

A secret is masked by as many asterisks, so that no length changes and a body is never held. Nothing is
decompressed: requests go out asking for bodies as they are (`accept-encoding: identity`).
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a text that are looked through; what follows passes as it is."""
_SHORTEST = 6  # a shorter one stands in too many texts by chance
_TEXTS = (
    "text/",
    "message/",
    "application/json",
    "application/xml",
    "application/javascript",
    "application/problem",
)
_SUFFIXES = ("+json", "+xml")


class Scrubber:
    """Masks the secrets in pieces of a body, also where two pieces meet.

    `take` is fed every piece, and `b""` at the end (as mitmproxy does); it gives what may go on.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted(
            {form.encode() for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST},
            key=len,
            reverse=True,
        )
        self._held = b""
        self._left = LARGEST_BODY

    def text(self, value: str) -> str:
        """The value, secrets masked."""
        masked = self._masked(value.encode("utf-8", "surrogateescape"))
        return masked.decode("utf-8", "surrogateescape")

    def name(self, value: str) -> str:
        """A header's name, secrets masked in any case: on the way names become lower case."""
        plain = value.encode("utf-8", "surrogateescape").lower()
        if not any(len(secret) <= len(plain) and secret.lower() in plain for secret in self._secrets):
            return value  # nearly always, and without a regular expression for each name
        masked = value
        for secret in self._secrets:
            here = re.escape(secret.decode("utf-8", "surrogateescape"))
            masked = re.sub(here, lambda found: "*" * len(found[0]), masked, flags=re.IGNORECASE)
        return masked

    def body(self, fields: Callable[[str], str | None]) -> "Callable[[bytes], bytes] | bool":
        """What a body with these headers goes through; True: it goes as it is."""
        kind = (fields("content-type") or "").partition(";")[0].strip().lower()
        is_text = not kind or kind.startswith(_TEXTS) or kind.endswith(_SUFFIXES)
        return self.take if self._secrets and is_text else True

    def take(self, piece: bytes) -> bytes:
        """The next bytes that may go on."""
        data = self._held + piece
        if self._left <= 0 or not piece:
            self._held = b""
            return self._masked(data) if self._left > 0 else data
        self._left -= len(piece)
        data = self._masked(data)
        keep = self._begun(data) if self._left > 0 else 0
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def _masked(self, data: bytes) -> bytes:
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, b"*" * len(secret))
        return data

    def _begun(self, data: bytes) -> int:
        """Bytes at the end that may be the beginning of a secret."""
        longest = 0
        for secret in self._secrets:
            for size in range(min(len(secret) - 1, len(data)), longest, -1):
                if data.endswith(secret[:size]):
                    longest = size
                    break
        return longest


def _forms(secret: str) -> tuple[str, str]:
    """The secret, and what of a Base64 one is left where its padding is dropped, or written as %3D."""
    return secret, secret.rstrip("=")
