"""A double of a store that anybody may change at any moment, and a reader who believes its events."""

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from connectors.interface import (
    AlreadyExists,
    Connector,
    Content,
    Entry,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Page,
    Span,
)
from gateway.operations import AccountRef
from gateway.settings import Settings
from gateway.worker.accounts import OpenAccount
from gateway.worker.desk import Desk
from gateway.worker.events import collector
from gateway.worker.events.changes import followed
from gateway.worker.ids import Ids
from gateway.worker.operations import contents, entries
from store.engine import open_database
from store.queries import accounts, applications, developers, events, feeds
from store.tables import Event

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
type Hook = Callable[[], Awaitable[None]]


@dataclass
class Node:
    """A file's version, or a folder where it is None."""

    version: int | None


class Store(Connector):
    """A double: paths in memory, listed three a page. A rename keeps version and times, as real ones do.

    `after_page` is called with each page that was listed and is not handed over yet; folders in `closed`
    may not be listed.
    """

    name = "memory_double"

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.after_page: Hook | None = None
        self.closed: set[str] = set()
        self._versions = itertools.count(1)

    # what anybody does to it

    def put(self, path: str) -> None:
        self.nodes[path] = Node(next(self._versions))

    def rename(self, path: str, to: str) -> None:
        for old in [p for p in self.nodes if p == path or p.startswith(f"{path}/")]:
            self.nodes[to + old[len(path) :]] = self.nodes.pop(old)

    def remove(self, path: str) -> None:
        for old in [p for p in self.nodes if p == path or p.startswith(f"{path}/")]:
            del self.nodes[old]

    # a connector's verbs

    async def stat(self, raw_id: str) -> Entry:
        if raw_id == "":
            return Entry("", "", Kind.FOLDER, None)
        if raw_id not in self.nodes:
            raise NotFound("there is no such entry")
        version = self.nodes[raw_id].version
        parent, _, name = raw_id.rpartition("/")
        if version is None:
            return Entry(raw_id, name, Kind.FOLDER, parent)
        at = _BEGINNING + timedelta(seconds=version)
        return Entry(raw_id, name, Kind.FILE, parent, size=7, modified=at, etag=f"v{version}")

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        if folder in self.closed:
            raise NotPermitted("no")
        if (await self.stat(folder)).kind is Kind.FILE:
            raise NotAFolder("a file")
        inside = sorted(p for p in self.nodes if p.rpartition("/")[0] == folder)
        first = int(cursor or 0)
        page = [await self.stat(path) for path in inside[first : first + 3]]
        if self.after_page is not None:
            await self.after_page()
        return Page(page, str(first + 3) if first + 3 < len(inside) else None)

    async def mkdir(self, parent: str, name: str) -> Entry:
        path = f"{parent}/{name}".lstrip("/")
        if path in self.nodes:
            raise AlreadyExists("taken")
        self.nodes[path] = Node(None)
        return await self.stat(path)

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        path = f"{parent}/{name}".lstrip("/")
        if path in self.nodes:
            raise AlreadyExists("taken")
        self.rename(raw_id, path)
        return await self.stat(path)

    async def write(self, parent: str, name: str, chunks: AsyncIterator[bytes], **_: Any) -> Entry:
        path = f"{parent}/{name}".lstrip("/")
        self.put(path)
        # an upload's answer may well know less than a listing
        return replace(await self.stat(path), modified=None)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        self.remove(raw_id)

    @classmethod
    async def open(cls, settings: Any, context: Any) -> "Store":
        raise NotImplementedError

    async def aclose(self) -> None: ...

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        raise NotFound("no")


class Opened:
    """A double of the worker's accounts: the one, always open."""

    def __init__(self, account: OpenAccount) -> None:
        self._account = account

    async def require(self, ref: AccountRef) -> OpenAccount:
        return self._account


type Tree = dict[tuple[str, str], str | None]
"""Versions by type and path: what a public id stands for."""


@dataclass
class Reader:
    """Follows events, and checks those of crawls: nothing is added twice, or goes that was not there.

    What the gateway does may concern what no crawl has told of yet: that is taken as it comes.
    """

    tree: Tree
    cursor: int = 0
    types: list[str] = field(default_factory=list)

    def follow(self, event: Event) -> None:
        assert event.sequence == self.cursor + 1
        self.cursor = event.sequence
        self.types.append(event.type)
        entry = orjson.loads(event.entry)
        key, version = (entry["type"], entry["raw_id"]), entry["etag"]
        sure = not event.ours
        if event.type in ("move", "rename"):
            before = orjson.loads(event.previous or "null")
            self._move((before["type"], before["raw_id"]), key, version, event)
        elif event.type == "delete":
            assert key in self.tree or not sure, ("delete", key)
            self.tree.pop(key, None)
            if event.ours and key[0] == "folder":
                for below in [k for k in self.tree if k[1].startswith(f"{key[1]}/")]:
                    del self.tree[below]
        else:
            assert (key in self.tree) == (event.type == "update") or not sure, (event.type, key)
            self.tree[key] = version

    def _move(self, old: tuple[str, str], new: tuple[str, str], version: str | None, event: Event) -> None:
        other_folder = old[1].rpartition("/")[0] != new[1].rpartition("/")[0]
        assert event.type == ("move" if other_folder else "rename")
        assert old in self.tree or event.ours, (event.type, old)
        assert new not in self.tree or event.ours, (event.type, new)
        self.tree.pop(old, None)
        if event.ours and old[0] == "folder":
            for kind, path in [k for k in self.tree if k[1].startswith(f"{old[1]}/")]:
                self.tree[kind, new[1] + path[len(old[1]) :]] = self.tree.pop((kind, path))
        self.tree[new] = version


@dataclass
class World:
    """The store, the worker's desk, an account with events, and its reader."""

    store: Store
    desk: Desk
    account: OpenAccount
    reader: Reader

    async def crawl(self) -> str | None:
        """Looks through the store now; why it broke off."""
        async with self.desk.database.session() as session:
            await feeds.hurry(session, self.account.id)
        await collector.plan(self.desk)
        for turn in await collector.turns(self.desk, 1):
            await collector.crawl(self.desk, turn)
        async with self.desk.database.session() as session:
            feed = await events.feed(session, self.account.id)
        assert feed is not None
        return feed.error

    async def read(self) -> list[Event]:
        """Follows what is new."""
        async with self.desk.database.session() as session:
            found = list(await events.page(session, self.account.id, self.reader.cursor, 10_000))
        for event in found:
            self.reader.follow(event)
        return found

    def truth(self) -> Tree:
        nodes = self.store.nodes.items()
        folders: Tree = {("folder", path): None for path, node in nodes if node.version is None}
        return folders | {("file", p): f"v{node.version}" for p, node in nodes if node.version is not None}

    # what the gateway itself does

    async def ours(self, operation: str, path: str, to: str = "") -> None:
        """An operation of the gateway, by the seam that all of them pass."""
        parent, _, name = path.rpartition("/")
        asked: dict[str, Any] = {"account": {"id": self.account.id, "revision": 0}, "actor": "me", "ip": None}
        if operation in ("/write", "/mkdir"):
            above = "root" if not parent else self.account.ids.make(parent, Kind.FOLDER)
            asked |= {"parent_id": above, "name": name, "size": 7, "conflict": "replace"}
        else:
            kind = (await self.store.stat(path)).kind
            asked |= {
                "id": self.account.ids.make(path, kind),
                "kind": kind,
                "recursive": True,
                "permanent": False,
            }
        if operation == "/move":
            above, _, new = to.rpartition("/")
            asked |= {
                "parent_id": "root" if not above else self.account.ids.make(above, Kind.FOLDER),
                "name": new,
            }
        if operation == "/write":
            work = contents.write(self.desk, asked, _content())
        else:
            work = entries.OPERATIONS[operation](self.desk, asked)  # type: ignore[assignment]  # awaitable alike
        await followed(self.desk, operation, asked, work)


async def _content() -> AsyncIterator[bytes]:
    yield b"content"


@asynccontextmanager
async def world(folder: Path, url: str, **options: Any) -> AsyncIterator[World]:
    """On a migrated database. The store is empty; crawls come when they are asked for."""
    settings = Settings(data=folder, database=url, **options)
    opened = open_database(settings.database_url)
    try:
        async with opened.session() as session:
            key = secrets.token_bytes(32)
            ann = await developers.create(session, "ann@example.com", None, key_digest=key, key_sealed=b"s")
            application = await applications.create(session, ann.id, "tests", events_enabled=True)
            row = await accounts.create(
                session,
                application_id=application.id,
                service="memory_double",
                display_name="files",
                network_id=None,
                credential=b"sealed",
            )
        store = Store()
        ids = Ids(b"secret", row.id)
        account = OpenAccount(row.id, 0, store, ids, None)  # type: ignore[arg-type]  # no raw requests here
        desk = Desk.furnished(
            settings,
            database=opened,
            accounts=Opened(account),  # type: ignore[arg-type]  # a double
            hub=None,  # type: ignore[arg-type]  # no networks here
            private=[],
        )
        made = World(store, desk, account, Reader({}))
        assert await made.crawl() is None
        yield made
    finally:
        await opened.aclose()
