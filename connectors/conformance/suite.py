"""The tests. Each works in a folder of its own, which is removed afterwards; nothing else is touched."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio

from connectors.interface import (
    AlreadyExists,
    BadSpan,
    CanCopy,
    CanMakeFolders,
    CanMove,
    Capability,
    Connector,
    Context,
    Dialer,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    Settings,
    Span,
    implemented,
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

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Connector]:
        """An open account."""

        async def remember(changes: dict[str, str]) -> None:
            self.kind.settings.model_validate({**self.settings, **changes})

        settings: Settings = self.kind.settings.model_validate(self.settings)
        connector = await self.kind.open(settings, Context(self.dialer, self.idle_timeout, remember))
        try:
            yield connector
        finally:
            await connector.aclose()


class FullConnector(Connector, CanMakeFolders, CanMove, CanCopy):
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
    """The raw id of a name in a folder of a path-based store."""
    return f"{folder}/{name}" if folder else name


@pytest.mark.asyncio
class Conformance:
    """Subclass it as `class TestMine(Conformance)` with a fixture `store` that gives a `Store`."""

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

    # what is declared

    async def test_declares_exactly_what_it_implements(self, connector: Connector) -> None:
        assert connector.capabilities == implemented(type(connector))

    async def test_the_name_shown_has_no_secret(self, store: Store) -> None:
        settings = store.kind.settings.model_validate(store.settings)
        secret = [v for k, v in settings.revealed().items() if "SecretStr" in str(_annotation(settings, k))]
        assert not [v for v in secret if v and str(v) in settings.display_name() + repr(settings)]

    # entries

    async def test_the_root_is_a_folder_without_a_parent(self, connector: Connector) -> None:
        root = await connector.stat("")
        assert (root.raw_id, root.kind, root.parent) == ("", Kind.FOLDER, None)

    async def test_a_file_is_described(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "note.txt", b"twelve bytes")
        assert entry == await connector.stat(entry.raw_id)
        assert (entry.name, entry.kind, entry.parent, entry.size) == ("note.txt", Kind.FILE, folder, 12)
        assert entry.modified is None or entry.modified.tzinfo is not None
        assert entry.mime_type is None or entry.mime_type.startswith("text/plain")

    async def test_what_is_not_there_is_not_found(self, connector: Connector, folder: str) -> None:
        for raw_id in (joined(folder, "nothing"), joined(folder, "no/where")):
            with pytest.raises(NotFound):
                await connector.stat(raw_id)
            with pytest.raises(NotFound):
                await connector.list(raw_id, None, 10)
            with pytest.raises(NotFound):
                await connector.read(raw_id)
            with pytest.raises(NotFound):
                await connector.delete(raw_id)
            with pytest.raises(NotFound):
                await put(connector, raw_id, "x")

    @pytest.mark.parametrize("raw_id", BAD_IDS)
    async def test_no_id_leads_out(self, connector: Connector, raw_id: str) -> None:
        for verb in (connector.stat(raw_id), connector.read(raw_id), connector.list(raw_id, None, 10)):
            with pytest.raises(NotFound):
                await verb
        with pytest.raises(NotFound):
            await connector.delete(raw_id, recursive=True)
        with pytest.raises(NotFound):
            await put(connector, raw_id, "x")

    @pytest.mark.parametrize("name", NAMES)
    async def test_names_come_back_as_they_went(self, connector: Connector, folder: str, name: str) -> None:
        content = name.encode()
        if name in self.unsupported_names:
            with pytest.raises(InvalidName):
                await put(connector, folder, name, content)
            return
        entry = await put(connector, folder, name, content)
        assert entry.name == name
        assert await names(connector, folder) == [name]
        listed = (await connector.list(folder, None, 10)).entries[0]
        assert listed.raw_id == entry.raw_id
        assert await whole(connector, listed.raw_id) == content
        await connector.delete(entry.raw_id)
        assert await names(connector, folder) == []

    @pytest.mark.parametrize("name", BAD_NAMES)
    async def test_impossible_names_are_refused(self, full: FullConnector, folder: str, name: str) -> None:
        with pytest.raises(InvalidName):
            await put(full, folder, name)
        with pytest.raises(InvalidName):
            await full.mkdir(folder, name)
        assert await names(full, folder) == []

    # listings

    async def test_pages_have_each_entry_once(self, full: FullConnector, folder: str) -> None:
        expected = [f"file {number:02}" for number in range(23)]
        for name in expected[:-1]:
            await put(full, folder, name)
        await full.mkdir(folder, expected[-1])
        for limit in (1, 10, 22, 23, 1000):
            found = await names(full, folder, limit)
            assert sorted(found) == expected
            assert found == await names(full, folder)

    async def test_an_entry_that_goes_between_pages_harms_none(
        self, connector: Connector, folder: str
    ) -> None:
        for name in "abcdef":
            await put(connector, folder, name)
        page = await connector.list(folder, None, 3)
        await connector.delete(page.entries[-1].raw_id)
        rest = await connector.list(folder, page.next_cursor, 10)
        assert sorted(e.name for e in [*page.entries, *rest.entries]) == list("abcdef")

    async def test_a_file_is_no_folder(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "file")
        with pytest.raises((NotAFolder, NotFound)):
            await connector.list(entry.raw_id, None, 10)
        with pytest.raises((NotAFolder, NotFound)):
            await put(connector, entry.raw_id, "below")
        with pytest.raises(NotAFolder):
            await connector.read(folder)

    # reading

    @pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3 * 1024 * 1024 + 7])
    @pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
    async def test_bytes_come_back_as_they_went(
        self, connector: Connector, folder: str, size: int, known: bool
    ) -> None:
        content = secrets.token_bytes(size)
        entry = await put(connector, folder, "bytes", content, size=size if known else None)
        assert entry.size == size
        opened = await connector.read(entry.raw_id)
        assert opened.entry.size == size
        read = [piece async for piece in opened.chunks]
        assert all(1 <= len(piece) <= 262_144 for piece in read)
        assert hashlib.sha256(b"".join(read)).digest() == hashlib.sha256(content).digest()

    @pytest.mark.parametrize(
        ("span", "part"),
        [
            (Span(0, 0), slice(0, 1)),
            (Span(0), slice(0, None)),
            (Span(299_999), slice(299_999, None)),
            (Span(100_000, 200_000), slice(100_000, 200_001)),
            (Span(299_000, 5_000_000), slice(299_000, None)),
        ],
    )
    async def test_spans(self, connector: Connector, folder: str, span: Span, part: slice) -> None:
        content = secrets.token_bytes(300_000)
        entry = await put(connector, folder, "bytes", content)
        assert await whole(connector, entry.raw_id, span) == content[part]

    async def test_a_span_beyond_the_end_is_refused(self, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "bytes", b"0123456789")
        for span in (Span(10), Span(10, 20), Span(1000, 1001)):
            with pytest.raises(BadSpan):
                await whole(connector, entry.raw_id, span)

    async def test_a_version_can_be_asked_for(self, connector: Connector, folder: str) -> None:
        old = await put(connector, folder, "bytes", b"one")
        if old.etag is None:
            pytest.skip("this store has no versions")
        assert await whole(connector, old.raw_id, etag=old.etag) == b"one"
        new = await put(connector, folder, "bytes", b"three", replace=True)
        assert new.etag != old.etag
        with pytest.raises(PreconditionFailed):
            await whole(connector, old.raw_id, etag=old.etag)
        with pytest.raises(PreconditionFailed):
            await put(connector, folder, "bytes", b"lost update", replace=True, etag=old.etag)
        assert await whole(connector, old.raw_id) == b"three"
        await put(connector, folder, "bytes", b"four!!", replace=True, etag=new.etag)
        assert await whole(connector, old.raw_id) == b"four!!"

    async def test_many_read_at_once(self, connector: Connector, folder: str) -> None:
        content = secrets.token_bytes(400_000)
        entry = await put(connector, folder, "bytes", content)
        spans = [Span(start, start + 49_999) for start in range(0, 400_000, 10_000)]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(whole(connector, entry.raw_id, span)) for span in spans]
        for span, task in zip(spans, running, strict=True):
            assert task.result() == content[span.first : span.first + 50_000]

    async def test_a_reader_that_leaves_early_harms_none(self, connector: Connector, folder: str) -> None:
        content = secrets.token_bytes(2_000_000)
        entry = await put(connector, folder, "bytes", content)
        for _ in range(20):
            opened = await connector.read(entry.raw_id)
            async with aclosing(opened.chunks) as chunks:  # type: ignore[type-var]  # generators, by the contract
                async for _piece in chunks:
                    break
        assert await whole(connector, entry.raw_id) == content

    # writing

    async def test_a_taken_name_is_kept(self, full: FullConnector, folder: str) -> None:
        entry = await put(full, folder, "name", b"first")
        with pytest.raises(AlreadyExists):
            await put(full, folder, "name", b"second")
        assert await whole(full, entry.raw_id) == b"first"
        assert await names(full, folder) == ["name"]
        await full.mkdir(folder, "folder")
        for replace in (True, False):
            with pytest.raises(AlreadyExists):
                await put(full, folder, "folder", b"file", replace=replace)
        assert (await full.stat(joined(folder, "folder"))).kind is Kind.FOLDER

    async def test_one_of_many_writers_gets_the_name(self, connector: Connector, folder: str) -> None:
        async def one(number: int) -> bool:
            try:
                await put(connector, folder, "name", bytes([number]) * 50_000)
            except AlreadyExists:
                return False
            return True

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(number)) for number in range(6)]
        assert sum(task.result() for task in running) == 1
        content = await whole(connector, joined(folder, "name"))
        assert len(content) == 50_000
        assert len(set(content)) == 1

    @pytest.mark.parametrize("before", [None, b"former"])
    async def test_a_source_that_breaks_leaves_nothing(
        self, connector: Connector, folder: str, before: bytes | None
    ) -> None:
        if before is not None:
            await put(connector, folder, "name", before)

        async def breaking() -> AsyncIterator[bytes]:
            yield b"a" * 300_000
            raise ConnectionAbortedError("the client went away")

        with pytest.raises(ConnectionAbortedError):
            await connector.write(folder, "name", breaking(), size=None, replace=before is not None)
        await self._only(connector, folder, before)

    @pytest.mark.parametrize("before", [None, b"former"])
    async def test_a_cancelled_write_leaves_nothing(
        self, connector: Connector, folder: str, before: bytes | None
    ) -> None:
        if before is not None:
            await put(connector, folder, "name", before)
        begun = asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield b"a" * 300_000
            begun.set()
            await asyncio.sleep(3600)

        async with asyncio.TaskGroup() as tasks:
            write = tasks.create_task(
                connector.write(folder, "name", waiting(), size=None, replace=before is not None)
            )
            await begun.wait()
            write.cancel()
        await self._only(connector, folder, before)

    async def _only(self, connector: Connector, folder: str, before: bytes | None) -> None:
        """Checks that the folder has nothing but the former bytes: temporary files are gone as well.

        A folder that has them can't be removed as an empty one.
        """
        if before is None:
            assert await names(connector, folder) == []
        else:
            assert await names(connector, folder) == ["name"]
            assert await whole(connector, joined(folder, "name")) == before
            await connector.delete(joined(folder, "name"))
        await connector.delete(folder)

    # removing

    async def test_removing(self, full: FullConnector, folder: str) -> None:
        below = await full.mkdir(folder, "below")
        entry = await put(full, below.raw_id, "file")
        with pytest.raises(NotEmpty):
            await full.delete(below.raw_id)
        assert await whole(full, entry.raw_id) == b"x"
        await full.delete(entry.raw_id)
        await full.delete(below.raw_id)
        for raw_id in (entry.raw_id, below.raw_id):
            with pytest.raises(NotFound):
                await full.stat(raw_id)

    async def test_removing_a_tree(self, full: FullConnector, folder: str) -> None:
        top = await full.mkdir(folder, "top")
        inner = await full.mkdir(top.raw_id, "inner")
        await put(full, inner.raw_id, "file")
        await full.delete(top.raw_id, recursive=True)
        assert await names(full, folder) == []

    # capabilities

    async def test_making_folders(self, full: FullConnector, folder: str) -> None:
        made = await full.mkdir(folder, "Neu & schön")
        assert (made.kind, made.parent, made.name) == (Kind.FOLDER, folder, "Neu & schön")
        assert made.raw_id == (await full.stat(made.raw_id)).raw_id
        await put(full, folder, "file")
        for name in ("Neu & schön", "file"):
            with pytest.raises(AlreadyExists):
                await full.mkdir(folder, name)
        with pytest.raises(NotFound):
            await full.mkdir(joined(folder, "nowhere"), "x")

    async def test_moving_a_file(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        content = secrets.token_bytes(1000)
        entry = await put(full, folder, "old name", content)
        target = await full.mkdir(folder, "target")
        moved = await full.move(entry.raw_id, target.raw_id, "new näme")
        assert (moved.parent, moved.name) == (target.raw_id, "new näme")
        assert await whole(full, moved.raw_id) == content
        with pytest.raises(NotFound):
            await full.stat(entry.raw_id)
        with pytest.raises(NotFound):
            await full.move(entry.raw_id, folder, "x")

    async def test_moving_a_folder(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"inside")
        moved = await full.move(below.raw_id, folder, "elsewhere")
        assert moved.kind is Kind.FOLDER
        assert await whole(full, joined(moved.raw_id, "file")) == b"inside"
        assert await names(full, folder) == ["elsewhere"]

    async def test_moving_replaces_only_when_told(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.MOVE)
        one = await put(full, folder, "one", b"1")
        await put(full, folder, "two", b"22")
        with pytest.raises(AlreadyExists):
            await full.move(one.raw_id, folder, "two")
        assert await whole(full, joined(folder, "two")) == b"22"
        await full.move(one.raw_id, folder, "two", replace=True)
        assert await whole(full, joined(folder, "two")) == b"1"
        assert await names(full, folder) == ["two"]

    async def test_copying(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.COPY)
        entry = await put(full, folder, "one", b"1")
        copied = await full.copy(entry.raw_id, folder, "zwei & mehr")
        assert await whole(full, copied.raw_id) == await whole(full, entry.raw_id) == b"1"
        with pytest.raises(AlreadyExists):
            await full.copy(entry.raw_id, folder, "zwei & mehr")
        below = await full.mkdir(folder, "below")
        await put(full, below.raw_id, "file", b"inside")
        tree = await full.copy(below.raw_id, folder, "tree")
        assert await whole(full, joined(tree.raw_id, "file")) == b"inside"
        with pytest.raises(NotFound):
            await full.copy(joined(folder, "nothing"), folder, "x")

    # accounts

    async def test_two_accounts_see_the_same(self, store: Store, connector: Connector, folder: str) -> None:
        entry = await put(connector, folder, "shared", b"seen by both")
        async with store.opened() as other:
            assert await whole(other, entry.raw_id) == b"seen by both"


def _annotation(settings: Settings, name: str) -> object:
    return type(settings).model_fields[name].annotation
