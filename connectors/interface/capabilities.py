"""The table of what a connector can do beyond the required verbs: one small protocol a capability.

What a connector advertises is found by asking the class, so it can't drift from what is written.
"""

from enum import StrEnum
from typing import Protocol, runtime_checkable

from connectors.interface.entry import Entry, Page


class Capability(StrEnum):
    """Something that a connector can do and its tests prove."""

    MKDIR = "mkdir"
    MOVE = "move"
    COPY = "copy"
    SEARCH = "search"


@runtime_checkable
class CanMakeFolders(Protocol):
    """Creates folders."""

    async def mkdir(self, parent: str, name: str) -> Entry:
        """The new folder. Raises AlreadyExists, NotFound (no parent), InvalidName."""
        ...


@runtime_checkable
class CanMove(Protocol):
    """Moves and renames, files and folders alike."""

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        """The entry at its new place, bytes unchanged. Raises AlreadyExists unless `replace`, NotFound."""
        ...


@runtime_checkable
class CanCopy(Protocol):
    """Copies without moving the bytes through the gateway."""

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        """The copy; folders are copied with their content. Raises AlreadyExists, NotFound."""
        ...


@runtime_checkable
class CanSearch(Protocol):
    """Searches by name on the store's side."""

    async def search(self, query: str, cursor: str | None, limit: int) -> Page:
        """Entries whose name matches, in the store's order."""
        ...


PROTOCOLS: dict[Capability, type] = {
    Capability.MKDIR: CanMakeFolders,
    Capability.MOVE: CanMove,
    Capability.COPY: CanCopy,
    Capability.SEARCH: CanSearch,
}


def implemented(connector: type) -> frozenset[Capability]:
    """The capabilities whose protocol the class satisfies."""
    return frozenset(c for c, protocol in PROTOCOLS.items() if issubclass(connector, protocol))
