"""What goes with every operation that a request to the API causes; travels beside the arguments."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request wishes, and whose it is.

    Attributes:
        raw: entries with the store's own description.
        headers: sent to the store with its requests.
        actor: who asks, as the audit log names them; None for the gateway itself.
        ip: from which address; None where that says nothing.
    """

    raw: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    actor: str | None = None
    ip: str | None = None


_NONE = Wishes()
current: ContextVar[Wishes] = ContextVar("wishes", default=_NONE)
