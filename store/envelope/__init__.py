"""Sealed secrets. This door seals; what unseals is `store.envelope.unseal`, for the worker alone."""

from store.envelope.layout import Context
from store.envelope.seal import SealingKey, seal

__all__ = ["Context", "SealingKey", "seal"]
