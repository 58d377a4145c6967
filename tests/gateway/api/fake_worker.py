"""`FakeWorker`: a double of the worker behind `Operations`. It keeps every account's files in memory."""

import asyncio
import base64
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from connectors.interface import (
    AlreadyExists,
    BadSpan,
    InvalidName,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    StoreError,
    Unsupported,
)
from gateway.access import Attempts
from gateway.operations import (
    ROOT,
    AccountRef,
    Conflict,
    EntryView,
    Operations,
    PageView,
    ParentView,
    Reading,
    TunnelView,
    attempts,
)
from gateway.operations.extras import Extras
from gateway.operations.uploads import Uploads
from store.envelope import Context
from store.envelope.unseal import UnsealingKey, unseal

PIECE = 64 * 1024
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@dataclass
class Node:
    """A file (data) or a folder (children by name) of the double."""

    id: str
    name: str
    parent: "Node | None"
    data: bytes | None = None
    children: dict[str, "Node"] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "folder" if self.data is None else "file"

    @property
    def etag(self) -> str | None:
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()[:16]

    @property
    def path(self) -> str:
        return "" if self.parent is None else f"{self.parent.path}/{self.name}".lstrip("/")


class FakeWorker(Operations):
    """The double. What tests set: `fails` is raised by the next call, `breaks_after` cuts the next read."""

    def __init__(self, private: UnsealingKey) -> None:
        self._private = private
        self._roots: dict[int, Node] = {}
        self._nodes: dict[int, dict[str, Node]] = {}
        self._numbers = count(1)
        self.is_ready = True
        self.fails: Exception | None = None
        self.breaks_after: int | None = None
        self.hides_size = False
        self.endless = False
        self.open_readings = 0
        self.cancelled: list[str] = []
        self.forgotten: list[int] = []
        self.calls: list[str] = []
        self.uploads, self.extras = Uploads(self._lacks), Extras(self._lacks)
        self.attempts = attempts.Attempts(self._count)
        self._counted = {kind: Attempts(10, 60.0) for kind in attempts.Attempt}

    # what tests look at and prepare

    def root(self, account: int) -> Node:
        if account not in self._roots:
            self._roots[account] = Node(ROOT, "/", None)
            self._nodes[account] = {ROOT: self._roots[account]}
        return self._roots[account]

    def put(self, account: int, name: str, data: bytes | None, parent: Node | None = None) -> Node:
        """A file, or a folder where data is None, as if it had always been there."""
        parent = parent or self.root(account)
        text = f"{account}:{next(self._numbers)}"
        made = Node(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), name, parent, data)
        parent.children[name] = made
        self._nodes[account][made.id] = made
        return made

    def names(self, account: int) -> list[str]:
        return sorted(self.root(account).children)

    # Operations

    async def aclose(self) -> None:
        pass

    async def ready(self) -> bool:
        return self.is_ready

    async def stat(self, account: AccountRef, entry_id: str, kind: str | None = None) -> EntryView:
        return self._view(self._find("stat", account, entry_id, kind))

    async def list(self, account: AccountRef, folder: str, cursor: str | None, limit: int) -> PageView:
        found = self._find("list", account, folder, "folder")
        return self._page(sorted(found.children.values(), key=lambda node: node.name), cursor, limit)

    async def search(
        self,
        account: AccountRef,
        query: str,
        cursor: str | None,
        limit: int,
        *,
        parents: Sequence[str] = (),
    ) -> PageView:
        self._find("search", account, ROOT, "folder")
        matching = [node for node in self._nodes[account.id].values() if query in node.name]
        return self._page(sorted(matching, key=lambda node: node.path), cursor, limit)

    async def mkdir(
        self, account: AccountRef, parent_id: str, name: str, *, conflict: Conflict
    ) -> tuple[EntryView, bool]:
        parent = self._find("mkdir", account, parent_id, "folder")
        there = parent.children.get(name)
        if there is None:
            return self._view(self.put(account.id, name, None, parent)), True
        if conflict is Conflict.ERROR or there.kind == "file":
            raise AlreadyExists(f"the name {name!r} is taken")
        return self._view(there), False

    async def move(
        self, account: AccountRef, entry_id: str, kind: str, *, parent_id: str | None, name: str | None
    ) -> EntryView:
        node = self._find("move", account, entry_id, kind)
        if node.parent is None:
            raise InvalidName("the root folder can't be moved or renamed")
        target = node.parent if parent_id is None else self._find("move", account, parent_id, "folder")
        if (name or node.name) in target.children:
            raise AlreadyExists("the name is taken")
        del node.parent.children[node.name]
        node.name, node.parent = name or node.name, target
        target.children[node.name] = node
        return self._view(node)

    async def copy(
        self,
        account: AccountRef,
        entry_id: str,
        kind: str,
        *,
        parent_id: str,
        name: str | None,
        target: AccountRef | None = None,
    ) -> EntryView:
        node = self._find("copy", account, entry_id, kind)
        into = self._find("copy", target or account, parent_id, "folder")
        made = self.put((target or account).id, self._free(into, name or node.name), node.data, into)
        for child in node.children.values():
            self.put((target or account).id, child.name, child.data, made)
        return self._view(made)

    async def delete(
        self, account: AccountRef, entry_id: str, kind: str, *, recursive: bool, permanent: bool = False
    ) -> None:
        node = self._find("delete", account, entry_id, kind)
        if node.children and not recursive:
            raise NotEmpty("the folder is not empty: add recursive=true")
        if node.parent is None:
            raise InvalidName("the root folder can't be deleted")
        del node.parent.children[node.name]
        del self._nodes[account.id][node.id]

    async def encode_raw_id(self, account: AccountRef, raw_id: str, kind: str) -> str:
        for node in self._nodes[account.id].values():
            if node.path == raw_id.strip("/") and node.kind == kind:
                return node.id
        return base64.urlsafe_b64encode(f"{account.id}:{kind}:{raw_id}".encode()).decode().rstrip("=")

    async def read(
        self,
        account: AccountRef,
        entry_id: str,
        *,
        first: int | None = None,
        last: int | None = None,
        suffix: int | None = None,
        etag: str | None = None,
    ) -> Reading:
        node = self._find("read", account, entry_id, "file")
        data = node.data or b""
        if etag is not None and etag != node.etag:
            raise PreconditionFailed("the file is another version now")
        if suffix is not None:
            if not suffix or not data:
                raise BadSpan("the file has no such bytes")
            first = max(0, len(data) - suffix)
        elif first is not None and first >= len(data):
            raise BadSpan("the file has no such bytes")
        start = first or 0
        part = data[start : None if last is None else last + 1]
        self.open_readings += 1
        given_up = asyncio.Event()

        async def aclose() -> None:
            if not given_up.is_set():
                given_up.set()
                self.open_readings -= 1

        length = None if self.hides_size or self.endless else len(part)
        return Reading(self._view(node), start, length, self._chunks(part), aclose)

    async def _chunks(self, part: bytes) -> AsyncIterator[bytes]:
        breaks_after, self.breaks_after = self.breaks_after, None
        at = 0
        while at < len(part) or (self.endless and part):
            if breaks_after is not None and at >= breaks_after:
                raise StoreErrorInMidRead("the connection to the store broke")
            at %= len(part)
            yield part[at : at + PIECE]
            at += PIECE

    async def write(
        self,
        account: AccountRef,
        parent_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        conflict: Conflict,
    ) -> tuple[EntryView, bool]:
        parent = self._find("write", account, parent_id, "folder")
        taken = name in parent.children
        if taken and conflict is Conflict.ERROR:
            raise AlreadyExists(f"the name {name!r} is taken")
        data = await self._taken(name, chunks, size)
        if taken and conflict is Conflict.REPLACE:
            parent.children[name].data = data
            return self._view(parent.children[name]), False
        return self._view(self.put(account.id, self._free(parent, name), data, parent)), True

    async def replace(
        self,
        account: AccountRef,
        entry_id: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        etag: str | None,
    ) -> EntryView:
        node = self._find("replace", account, entry_id, "file")
        if etag is not None and etag != node.etag:
            raise PreconditionFailed("the file is another version now")
        node.data = await self._taken(node.name, chunks, size)
        return self._view(node)

    async def _taken(self, name: str, chunks: AsyncIterator[bytes], size: int | None) -> bytes:
        received = bytearray()
        try:
            async for chunk in chunks:
                received += chunk
        except BaseException:
            self.cancelled.append(name)
            raise
        assert size is None or size == len(received)
        return bytes(received)

    async def forget(self, account_id: int) -> None:
        self.forgotten.append(account_id)

    async def unseal(self, table: str, row: str, column: str, sealed: bytes) -> bytes:
        return unseal(sealed, Context(table, row, column), [self._private])

    async def tunnels(self) -> "list[TunnelView]":  # type: ignore[valid-type]  # `list` is a method here
        return []

    async def drop_agent(self, agent_id: int) -> None:
        pass

    # inside

    async def _count(self, name: str, *, kind: attempts.Attempt, who: str) -> Any:
        """Failed attempts, as the worker counts them."""
        if name == "attempt_failed":
            return self._counted[kind].failed(who)
        return {"seconds": self._counted[kind].wait(who)}

    async def _lacks(self, name: str, *_: Any, **__: Any) -> Any:
        """Of uploads in parts and extras the double has none."""
        if name == "abandon_uploads":
            return {}
        raise Unsupported(f"the double has no {name}")

    def _find(self, call: str, account: AccountRef, entry_id: str, kind: str | None) -> Node:
        self.calls.append(call)
        if (error := self.fails) is not None:
            self.fails = None
            raise error
        self.root(account.id)
        node = self._nodes[account.id].get(entry_id)
        if node is None or (kind is not None and node.kind != kind):
            raise NotFound(f"no {kind} {entry_id!r} in account {account.id}")
        return node

    def _page(self, nodes: Any, cursor: str | None, limit: int) -> PageView:
        start = int(cursor or 0)
        following = str(start + limit) if start + limit < len(nodes) else None
        return PageView([self._view(node) for node in nodes[start : start + limit]], following)

    def _view(self, node: Node) -> EntryView:
        return EntryView(
            id=node.id,
            raw_id=node.path,
            name=node.name,
            type=node.kind,
            path="/" + node.path,
            parent=None if node.parent is None else ParentView(node.parent.id, node.parent.name),
            size=None if node.data is None or self.hides_size else len(node.data),
            modified=MOMENT,
            created=None,
            etag=node.etag,
            mime_type=mimetypes.guess_type(node.name)[0] if node.data is not None else None,
        )

    def _free(self, parent: Node, name: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        if not dot:
            stem, suffix = name, ""
        candidates = (f"{stem} ({n}){dot}{suffix}" for n in count(1))
        return (
            name if name not in parent.children else next(c for c in candidates if c not in parent.children)
        )


class StoreErrorInMidRead(StoreError):
    """What the double's reads break with; a leaf of its own needs a row in no table."""
