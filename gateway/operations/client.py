"""Our processes' way to a worker: content by HTTP on its Unix socket, all else by `calls`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from connectors import http1
from connectors.interface import Unavailable
from gateway import telemetry
from gateway.operations import wire, wishes
from gateway.operations.attempts import Attempts
from gateway.operations.calls import Calls
from gateway.operations.errors import WorkerUnavailable, from_json
from gateway.operations.events import Events
from gateway.operations.extras import Extras
from gateway.operations.grants import Grants
from gateway.operations.messages import (
    AccountRef,
    Conflict,
    EntryView,
    PageView,
    Reading,
    RecentView,
    TunnelView,
)
from gateway.operations.raw import RawRequests
from gateway.operations.uploads import Uploads

_MOST_JSON = 64 * 1024 * 1024


class Operations:
    """Calls a worker. Every method raises `StoreError` leaves, and WorkerUnavailable when none answers.

    Args:
        socket_path: where it takes content.
        calls_path: where it takes questions.
        connections: how many transfers there may be at once.
    """

    def __init__(self, socket_path: Path, calls_path: Path, *, connections: int = 256) -> None:
        async def connect(
            factory: Callable[[], http1.Connection],
        ) -> tuple[asyncio.Transport, http1.Connection]:
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_unix_connection(factory, str(socket_path))
            return transport, protocol

        self._client = http1.Client(connect, host="worker", max_connections=connections, idle_timeout=None)
        self._calls = Calls(calls_path)
        self.events = Events(self._call)
        self.uploads = Uploads(self._call)
        self.attempts = Attempts(self._call)
        self.extras = Extras(self._call)
        self.grants = Grants(self._call)
        self.raw = RawRequests(self._send)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
        await self._calls.aclose()

    async def ready(self) -> bool:
        """Whether a worker answers."""
        try:
            await self._call("ready")
        except WorkerUnavailable:
            return False
        return True

    async def stat(self, account: AccountRef, entry_id: str, kind: str | None = None) -> EntryView:
        """The entry; NotFound when it is of another kind than asked."""
        found = await self._call("stat", account=account, id=entry_id, kind=kind)
        return EntryView.from_json(found)

    async def list(self, account: AccountRef, folder: str, cursor: str | None, limit: int) -> PageView:
        """At most `limit` entries of the folder."""
        return _page(await self._call("list", account=account, id=folder, cursor=cursor, limit=limit))

    async def search(
        self,
        account: AccountRef,
        query: str,
        cursor: str | None,
        limit: int,
        *,
        parents: Sequence[str] = (),
    ) -> PageView:
        """Entries below the folders (none: anywhere) whose name contains the query, whatever its case."""
        return _page(
            await self._call(
                "search", account=account, query=query, parents=list(parents), cursor=cursor, limit=limit
            )
        )

    async def tree(self, account: AccountRef, folder: str, cursor: str | None, limit: int) -> PageView:
        """Everything below the folder; of stores that list whole trees at once the files alone."""
        return _page(await self._call("tree", account=account, id=folder, cursor=cursor, limit=limit))

    async def recent(self, account: AccountRef, after: datetime | None, newest: int) -> RecentView:
        """At most `newest` files, those last that were changed longest ago, none before `after`."""
        moment = after.isoformat() if after else None
        found = await self._call("recent", account=account, after=moment, newest=newest)
        entries = [EntryView.from_json(entry) for entry in found["entries"]]
        return RecentView(entries, found["total"], found["stopped"], found["passed_over"])

    async def mkdir(
        self, account: AccountRef, parent_id: str, name: str, *, conflict: Conflict
    ) -> tuple[EntryView, bool]:
        """The folder, and whether it is new; AlreadyExists for `Conflict.ERROR`, or a file of that name."""
        made = await self._call("mkdir", account=account, parent_id=parent_id, name=name, conflict=conflict)
        return EntryView.from_json(made["entry"]), made["created"]

    async def move(
        self, account: AccountRef, entry_id: str, kind: str, *, parent_id: str | None, name: str | None
    ) -> EntryView:
        """The entry at its new place; None keeps folder or name."""
        moved = await self._call(
            "move", account=account, id=entry_id, kind=kind, parent_id=parent_id, name=name
        )
        return EntryView.from_json(moved["entry"])

    async def move_across(
        self,
        account: AccountRef,
        entry_id: str,
        kind: str,
        *,
        target: AccountRef,
        parent_id: str,
        name: str | None,
    ) -> EntryView:
        """The entry in another account; gone from this one only once it is whole there. None keeps the name.

        Raises AlreadyExists when the name is taken there, PreconditionFailed when it changed meanwhile.
        """
        moved = await self._call(
            "move_across",
            account=account,
            id=entry_id,
            kind=kind,
            target=target,
            parent_id=parent_id,
            name=name,
        )
        return EntryView.from_json(moved["entry"])

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
        """The copy, under a free name, in the target account (None: the same)."""
        copied = await self._call(
            "copy", account=account, id=entry_id, kind=kind, parent_id=parent_id, name=name, target=target
        )
        return EntryView.from_json(copied["entry"])

    async def fetch(
        self, account: AccountRef, url: str, *, parent_id: str, name: str, conflict: Conflict
    ) -> tuple[EntryView, bool]:
        """The new file with what the URL gives, and whether its name was free. Raises BadUrl, TooLarge."""
        made = await self._call(
            "fetch", account=account, url=url, parent_id=parent_id, name=name, conflict=conflict
        )
        return EntryView.from_json(made["entry"]), made["created"]

    async def start_task(self, account: AccountRef, operation: str, **arguments: Any) -> str:
        """The id of a task that does the operation, given the arguments that its method here sends.

        Raises Throttled when too many tasks wait; what the operation itself raises shows in the task.
        """
        started = await self._call("start_task", account=account, operation=operation, arguments=arguments)
        return str(started["id"])

    async def cancel_task(self, account: AccountRef, task_id: str) -> bool:
        """Whether the task was under way; when this returns, it has let go of the store."""
        ended = await self._call("cancel_task", account=account, task=task_id)
        return bool(ended["cancelled"])

    async def delete(
        self, account: AccountRef, entry_id: str, kind: str, *, recursive: bool, permanent: bool = False
    ) -> None:
        """Removes the entry; `permanent` past the store's bin and older versions, where it has such."""
        await self._call(
            "delete", account=account, id=entry_id, kind=kind, recursive=recursive, permanent=permanent
        )

    async def encode_raw_id(self, account: AccountRef, raw_id: str, kind: str) -> str:
        """The public id of a raw one; whether such an entry exists is not looked at."""
        made = await self._call("encode_raw_id", account=account, raw_id=raw_id, kind=kind)
        return str(made["id"])

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
        """The opened file. While its chunks are read: Unavailable when the content breaks for good."""
        response = await self._send(
            "read",
            {
                "account": account,
                "id": entry_id,
                "first": first,
                "last": last,
                "suffix": suffix,
                "etag": etag,
            },
        )
        result = wire.unpack(dict(response.headers)[wire.RESULT])
        return Reading(
            entry=EntryView.from_json(result["entry"]),
            first=result["first"],
            length=result["length"],
            chunks=response.chunks(),
            aclose=response.aclose,
        )

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
        """The new file, and whether its name was free. An error of `chunks` cancels the write."""
        written = await self._call(
            "write",
            chunks,
            size,
            account=account,
            parent_id=parent_id,
            name=name,
            size=size,
            conflict=conflict,
        )
        return EntryView.from_json(written["entry"]), written["created"]

    async def replace(
        self,
        account: AccountRef,
        entry_id: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        etag: str | None,
    ) -> EntryView:
        """The file with its new bytes; with `etag` only over that version (PreconditionFailed)."""
        written = await self._call(
            "replace", chunks, size, account=account, id=entry_id, size=size, etag=etag
        )
        return EntryView.from_json(written)

    async def forget(self, account_id: int) -> None:
        """The account is gone: its connector is closed."""
        await self._call("forget", account_id=account_id)

    async def amend(self, account: AccountRef, changes: Mapping[str, Any]) -> None:
        """Changes some of an account's settings. Raises BadSettings for what its connector can't take."""
        await self._call("amend", account=account, changes=changes)

    async def unseal(self, table: str, row: str, column: str, sealed: bytes) -> bytes:
        """A secret in the clear, for its owner; the caller writes the audit row."""
        opened = await self._call("unseal", context=[table, row, column], sealed=sealed.hex())
        return bytes.fromhex(opened["plain"])

    async def tunnels(self) -> Sequence[TunnelView]:
        """Every agent that this worker's hub knows of now."""
        return [TunnelView(**tunnel) for tunnel in (await self._call("tunnels"))["tunnels"]]

    async def drop_agent(self, agent_id: int) -> None:
        """Closes the agent's tunnels and what runs in them."""
        await self._call("drop_agent", agent_id=agent_id)

    async def _call(
        self,
        name: str,
        body: AsyncIterator[bytes] | bytes | None = None,
        length: int | None = None,
        /,
        **arguments: Any,
    ) -> Any:
        if body is None or isinstance(body, bytes):
            return await self._calls.ask(name, _wished(arguments), body or b"")
        return await self._answer(await self._send(name, arguments, body, length))

    async def _answer(self, response: http1.Response) -> Any:
        try:
            return orjson.loads(await response.read(_MOST_JSON))
        except Unavailable as error:
            raise WorkerUnavailable("the worker went away in the middle of its answer") from error

    async def _send(
        self,
        name: str,
        arguments: dict[str, Any],
        body: AsyncIterator[bytes] | bytes | None = None,
        length: int | None = None,
    ) -> http1.Response:
        headers = [(wire.ARGUMENTS, wire.pack(_wished(arguments)))]
        if (request_id := telemetry.request_id.get()) is not None:
            headers.append((wire.REQUEST_ID, request_id.encode()))
        try:
            response = await self._client.request("POST", f"/{name}", headers, body=body, length=length)
        except Unavailable as error:
            raise WorkerUnavailable("no worker took the request; try again in a moment") from error
        if response.status == wire.FAILED:
            raise from_json(orjson.loads(await response.read(_MOST_JSON)))
        if response.status != 200:
            await response.aclose()
            raise WorkerUnavailable("the worker failed; its log has the reason under this request's id")
        return response


def _page(value: dict[str, Any]) -> PageView:
    entries = [EntryView.from_json(entry) for entry in value["entries"]]
    return PageView(entries, value["next_cursor"], value.get("stopped"), value.get("passed_over", 0))


def _wished(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, on an account with what the request wishes for beside them."""
    if "account" not in arguments:
        return arguments
    wished = wishes.current.get()
    beside = {"raw": wished.raw, "headers": dict(wished.headers), "ip": wished.ip}
    return {"actor": wished.actor, **arguments, **beside}
