"""Both halves of the key pair: what the worker alone has."""

from dataclasses import dataclass

from store import envelope
from store.envelope import unseal


@dataclass(frozen=True, slots=True)
class Safe:
    """Seals for one context, and opens what was sealed for it."""

    sealing: envelope.SealingKey
    private: list[unseal.UnsealingKey]

    def seal(self, plain: bytes, context: envelope.Context) -> bytes:
        """Sealed with the newest key."""
        return envelope.seal(plain, context, self.sealing)

    def unseal(self, sealed: bytes, context: envelope.Context) -> bytes:
        """In the clear. Raises Unsealable."""
        return unseal.unseal(sealed, context, self.private)
