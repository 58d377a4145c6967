"""The worker's ASGI application: one handler an operation, errors in one place.

Plain ASGI rather than a framework: the only client is our own api, and requests a second count here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson

from connectors.interface import (
    AlreadyExists,
    CanMakeFolders,
    CanMove,
    CanSearch,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    StoreError,
    Unavailable,
    Unsupported,
)
from gateway import telemetry
from gateway.operations import AccountRef, Conflict, EntryView, ParentView, wire
from gateway.operations.errors import to_json
from gateway.worker import copies, transfers
from gateway.worker.accounts import Accounts, OpenAccount
from store import envelope
from store.envelope import unseal

if TYPE_CHECKING:
    from gateway.tunnel import Hub

_log = logging.getLogger(__name__)

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]
type Arguments = dict[str, Any]


class ClientGone(Exception):
    """The api closed its side: nobody wants the answer any more."""


class Worker:
    """Answers operations. `resume_within`: seconds for which a broken read is tried again."""

    def __init__(
        self, accounts: Accounts, hub: "Hub", private: list[unseal.UnsealingKey], *, resume_within: float
    ) -> None:
        self._accounts = accounts
        self._hub = hub
        self._private = private
        self._resume_within = resume_within
        self._control: dict[str, Callable[[Arguments], Awaitable[Any]]] = {
            "/stat": self._stat,
            "/list": self._list,
            "/mkdir": self._mkdir,
            "/move": self._move,
            "/copy": self._copy,
            "/delete": self._delete,
            "/search": self._search,
            "/encode_raw_id": self._encode_raw_id,
            "/forget": self._forget,
            "/unseal": self._unseal,
            "/tunnels": self._tunnels,
            "/drop_agent": self._drop_agent,
            "/ready": self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One operation. What breaks behind the head ends the connection: it must not look whole."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        telemetry.request_id.set(headers.get(wire.REQUEST_ID, b"").decode() or None)
        started = Started(send)
        try:
            arguments = wire.unpack(headers.get(wire.ARGUMENTS, b"{}"))
            await self._answer(scope["path"], arguments, receive, started)
        except StoreError as error:
            if started.head:
                raise
            await started.json(to_json(error), status=wire.FAILED)
        except ClientGone:
            _log.info("the client went away", extra={"operation": scope["path"]})

    async def _answer(self, path: str, arguments: Arguments, receive: Receive, send: "Started") -> None:
        if path == "/read":
            await until_gone(receive, self._read(arguments, send))
        elif path in ("/write", "/replace"):
            handler = self._write if path == "/write" else self._replace
            await send.json(await handler(arguments, body_of(receive)))
        elif (control := self._control.get(path)) is not None:
            await send.json(await control(arguments))
        else:
            await send.json({"error": "Unsupported", "message": f"no operation {path}"}, status=wire.FAILED)

    async def _account(self, arguments: Arguments) -> OpenAccount:
        return await self._accounts.require(AccountRef(*arguments["account"]))

    async def _stat(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        raw_id, kind = account.ids.read(arguments["id"], arguments.get("kind"))
        return view(account, await _expect(account, raw_id, kind)).to_json()

    async def _list(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        raw_id, _ = account.ids.read(arguments["id"], Kind.FOLDER)
        page = await account.connector.list(raw_id, arguments["cursor"], arguments["limit"])
        entries = [view(account, entry).to_json() for entry in page.entries]
        return {"entries": entries, "next_cursor": page.next_cursor}

    async def _mkdir(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
        connector = account.connector
        if not isinstance(connector, CanMakeFolders):
            raise _lacks(account, "create folders")
        name = arguments["name"]
        try:
            return {"entry": view(account, await connector.mkdir(parent, name)).to_json(), "created": True}
        except AlreadyExists:
            there = await transfers.find(connector, parent, name)
            if there is None or there.kind is Kind.FILE or arguments["conflict"] == Conflict.ERROR:
                raise
            return {"entry": view(account, there).to_json(), "created": False}

    async def _move(self, arguments: Arguments) -> Any:
        account, connector = await self._with(arguments, CanMove, "move or rename")  # type: ignore[type-abstract]  # a protocol
        raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
        entry = await _expect(account, raw_id, kind)
        if entry.parent is None:
            raise InvalidName("the root folder can't be moved or renamed")
        parent = entry.parent
        if arguments["parent_id"] is not None:
            parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
        name = arguments["name"] or entry.name
        if (parent, name) == (entry.parent, entry.name):
            return view(account, entry).to_json()
        _not_into_itself(entry, parent)
        return view(account, await connector.move(raw_id, parent, name)).to_json()

    async def _copy(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
        entry = await _expect(account, raw_id, kind)
        parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
        _not_into_itself(entry, parent)
        name = arguments["name"] or entry.name
        if await transfers.find(account.connector, parent, name) is not None:
            name = await transfers.free_name(account.connector, parent, name)
        return view(account, await copies.copy(account.connector, entry, parent, name)).to_json()

    async def _delete(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
        if raw_id == "" and kind is Kind.FOLDER:
            raise InvalidName("the root folder can't be deleted")
        await _expect(account, raw_id, kind)
        await account.connector.delete(raw_id, recursive=arguments["recursive"])
        return {}

    async def _search(self, arguments: Arguments) -> Any:
        account, connector = await self._with(arguments, CanSearch, "search")  # type: ignore[type-abstract]  # a protocol
        page = await connector.search(arguments["query"], arguments["cursor"], arguments["limit"])
        entries = [view(account, entry).to_json() for entry in page.entries]
        return {"entries": entries, "next_cursor": page.next_cursor}

    async def _encode_raw_id(self, arguments: Arguments) -> Any:
        account = await self._account(arguments)
        kind = Kind(arguments["kind"])
        return {"id": account.ids.make(account.connector.normal_id(arguments["raw_id"], kind), kind)}

    async def _read(self, arguments: Arguments, send: "Started") -> None:
        account = await self._account(arguments)
        raw_id, _ = account.ids.read(arguments["id"], Kind.FILE)
        account.running += 1
        try:
            entry, first, length, chunks = await transfers.open_reading(
                account.connector,
                raw_id,
                first=arguments["first"],
                last=arguments["last"],
                suffix=arguments["suffix"],
                etag=arguments["etag"],
                resume_within=self._resume_within,
            )
            result = {"entry": view(account, entry).to_json(), "first": first, "length": length}
            async with aclosing(chunks) as pieces:  # type: ignore[type-var]  # a generator
                await send.start(result, length)
                async for piece in pieces:
                    await send.piece(piece)
                await send.end()
        finally:
            account.running -= 1

    async def _write(self, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
        account = await self._account(arguments)
        parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
        account.running += 1
        try:
            entry, created = await transfers.write(
                account.connector,
                parent,
                arguments["name"],
                body,
                size=arguments["size"],
                conflict=Conflict(arguments["conflict"]),
            )
        finally:
            account.running -= 1
        return {"entry": view(account, entry).to_json(), "created": created}

    async def _replace(self, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
        account = await self._account(arguments)
        raw_id, kind = account.ids.read(arguments["id"], Kind.FILE)
        entry = await _expect(account, raw_id, kind)
        account.running += 1
        try:
            written = await account.connector.write(
                entry.parent or "",
                entry.name,
                body,
                size=arguments["size"],
                replace=True,
                etag=arguments["etag"],
            )
        finally:
            account.running -= 1
        return view(account, written).to_json()

    async def _with[C](self, arguments: Arguments, protocol: type[C], verb: str) -> tuple[OpenAccount, C]:
        account = await self._account(arguments)
        if not isinstance(account.connector, protocol):
            raise _lacks(account, verb)
        return account, account.connector

    async def _forget(self, arguments: Arguments) -> Any:
        await self._accounts.forget(arguments["account_id"])
        return {}

    async def _unseal(self, arguments: Arguments) -> Any:
        context = envelope.Context(*arguments["context"])
        return {"plain": unseal.unseal(bytes.fromhex(arguments["sealed"]), context, self._private).hex()}

    async def _tunnels(self, arguments: Arguments) -> Any:
        return {"tunnels": self._hub.tunnels()}

    async def _drop_agent(self, arguments: Arguments) -> Any:
        await self._hub.drop_agent(arguments["agent_id"])
        return {}

    async def _ready(self, arguments: Arguments) -> Any:
        return {"ready": True}


class Started:
    """The answer being sent; knows whether its head is out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.head = False

    async def json(self, value: Any, status: int = 200) -> None:
        """A whole answer."""
        body = orjson.dumps(value)
        length = str(len(body)).encode()
        self.head = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, result: Arguments, length: int | None) -> None:
        """The head of a transfer; chunked when the length isn't known."""
        headers = [(wire.RESULT, wire.pack(result))]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.head = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def piece(self, piece: bytes) -> None:
        """Some content; returns when the api may take more."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """The end of the content."""
        await self._send({"type": "http.response.body", "body": b""})


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """The request's content. Raises Unavailable when the api went away before its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("the upload ended before its last byte")
        if body := message.get("body"):
            yield body
        if not message.get("more_body"):
            return


async def until_gone(receive: Receive, work: Awaitable[None]) -> None:
    """Runs the work; cancels it as soon as the api closes its side (ClientGone)."""

    async def watch(running: asyncio.Task[None]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        running.cancel()

    async def run() -> None:
        await work

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(), name="transfer")
        watching = tasks.create_task(watch(running), name="client gone?")
        await asyncio.wait([running])
        watching.cancel()
    if running.cancelled():
        raise ClientGone


def view(account: OpenAccount, entry: Entry) -> EntryView:
    """The entry with public ids. For a path-based store the path is the raw id."""
    parent = None
    if entry.parent is not None:
        name = entry.parent.rstrip("/").rpartition("/")[2] or "/"
        parent = ParentView(account.ids.make(entry.parent, Kind.FOLDER), name)
    return EntryView(
        id=account.ids.make(entry.raw_id, entry.kind),
        raw_id=entry.raw_id,
        name=entry.name or "/",
        type=entry.kind,
        path="/" + entry.raw_id.rstrip("/"),
        parent=parent,
        size=entry.size,
        modified=entry.modified,
        created=entry.created,
        etag=entry.etag,
        mime_type=entry.mime_type,
        owner=entry.owner,
    )


async def _expect(account: OpenAccount, raw_id: str, kind: Kind) -> Entry:
    entry = await account.connector.stat(raw_id)
    if entry.kind is not kind:
        raise NotAFolder(f"this is a {entry.kind.value}, not a {kind.value}")
    return entry


def _lacks(account: OpenAccount, verb: str) -> Unsupported:
    return Unsupported(f"the {account.connector.name} connector can't {verb}")


def _not_into_itself(entry: Entry, parent: str) -> None:
    if entry.kind is Kind.FOLDER and f"{parent.rstrip('/')}/".startswith(f"{entry.raw_id.rstrip('/')}/"):
        raise InvalidName("a folder can't be put into itself")
