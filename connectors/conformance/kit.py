"""What the tests share: the store, an open account, a folder of its own for each test, small verbs."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import pytest_asyncio

from connectors.interface import (
    Alone,
    CanAuthorise,
    CanCopy,
    CanKeepProperties,
    CanListTrees,
    CanMakeFolders,
    CanMove,
    CanPresignDownloads,
    CanPresignUploads,
    CanPurge,
    CanSearch,
    CanSendHeaders,
    CanSetPermissions,
    CanTellQuota,
    CanWriteInParts,
    Capability,
    Connector,
    Context,
    Dialer,
    Entry,
    NotFound,
    Renewals,
    Settings,
    Span,
)

NAMES = [
    "plain.txt",
    "two  spaces.txt",
    " space in front",
    "percent%20and%zz.txt",
    "plus+and&amp;.txt",
    "quotes'\"`.txt",
    "question?hash#semi;colon:.txt",
    "[brackets]{braces}<angles>.txt",
    "back\\slash.txt",
    "Grüße, 世界, приве́т.txt",
    "e\u0301 decomposed.txt",
    "🦊.txt",
    ".leading dot",
    "..two dots",
    "-dash",
    "~tilde",
    "n" * 251 + ".txt",
    "ü" * 125 + ".txt",
]
BAD_NAMES = ["", ".", "..", "a/b", "/", "nul\0l"]
BAD_IDS = ["..", "../x", "x/../../y", "/etc/passwd", "a//b", "a/./b", "a/\0"]


@dataclass(frozen=True)
class Store:
    """A live store: its connector, settings as JSON has them, and how to reach it."""

    kind: type[Connector]
    settings: dict[str, Any]
    dialer: Dialer
    idle_timeout: float = 20.0
    renewals: Renewals = field(default_factory=Alone)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Connector]:
        """An open account."""

        async def remember(changes: dict[str, str]) -> None:
            self.kind.settings.model_validate({**self.settings, **changes})

        settings: Settings = self.kind.settings.model_validate(self.settings)
        context = Context(self.dialer, self.idle_timeout, remember, renewals=self.renewals)
        connector = await self.kind.open(settings, context)
        try:
            yield connector
        finally:
            await connector.aclose()


class FullConnector(
    Connector,
    CanAuthorise,
    CanMakeFolders,
    CanMove,
    CanCopy,
    CanSearch,
    CanListTrees,
    CanWriteInParts,
    CanPurge,
    CanPresignUploads,
    CanPresignDownloads,
    CanKeepProperties,
    CanSetPermissions,
    CanTellQuota,
    CanSendHeaders,
):
    """A connector with every capability that the tests use."""


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """The content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def whole(connector: Connector, raw_id: str, span: Span | None = None, **more: Any) -> bytes:
    """The bytes of a file."""
    content = await connector.read(raw_id, span, **more)
    return b"".join([piece async for piece in content.chunks])


async def put(connector: Connector, parent: str, name: str, content: bytes = b"x", **more: Any) -> Entry:
    """A new file."""
    known = {"size": len(content), "replace": False, **more}
    return await connector.write(parent, name, pieces(content), **known)


async def names(connector: Connector, folder: str, limit: int = 1000) -> list[str]:
    """Every name in a folder, page by page."""
    found: list[str] = []
    cursor = None
    while True:
        page = await connector.list(folder, cursor, limit)
        assert len(page.entries) <= limit
        found += [entry.name for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            return found


def joined(folder: str, name: str) -> str:
    """The raw id of a name in a folder of a path-based store; an object store's folder ends with a slash."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


@pytest.mark.asyncio
class Kit:
    """The fixtures. A fixture `store` that gives a `Store` is the subclass's own."""

    unsupported_names: frozenset[str] = frozenset()
    """Of NAMES, those that this store can't hold; the connector has to say InvalidName then."""

    @pytest_asyncio.fixture
    async def connector(self, store: Store) -> AsyncIterator[Connector]:
        """An open account."""
        async with store.opened() as connector:
            yield connector

    @pytest_asyncio.fixture
    async def folder(self, connector: Connector) -> AsyncIterator[str]:
        """A fresh folder's raw id."""
        made = await cast("FullConnector", connector).mkdir("", f"conformance-{secrets.token_hex(6)}")
        yield made.raw_id
        with suppress(NotFound):
            await connector.delete(made.raw_id, recursive=True)

    @pytest.fixture
    def full(self, connector: Connector) -> FullConnector:
        """The connector, as one that has every capability; a test says what it needs by `needs`."""
        return cast("FullConnector", connector)

    def needs(self, connector: Connector, capability: Capability) -> None:
        """Skips a test of what the connector does not declare: there is nothing to hold."""
        if capability not in connector.capabilities:
            pytest.skip(f"{connector.name} does not declare {capability}")
