"""What a request to the API wishes of every operation that it causes; travels beside the arguments."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wishes:
    """`raw`: entries with the store's own description. `headers`: sent to the store with its requests."""

    raw: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


_NONE = Wishes()
current: ContextVar[Wishes] = ContextVar("wishes", default=_NONE)
