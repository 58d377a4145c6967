"""Operations that stream bytes between the api and a store: reading, writing, replacing."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from connectors.interface import Kind
from gateway.operations import Conflict
from gateway.worker.answers import Started
from gateway.worker.content import transfers
from gateway.worker.desk import (
    Arguments,
    Desk,
    Upload,
    busy,
    expect,
    view,
)


async def read(desk: Desk, arguments: Arguments, send: Started) -> None:
    """Sends a file's bytes, all or a span."""
    account = await desk.account(arguments)
    raw_id, _ = account.ids.read(arguments["id"], Kind.FILE)
    with busy(account):
        entry, first, length, chunks = await transfers.open_reading(
            account.connector,
            raw_id,
            first=arguments["first"],
            last=arguments["last"],
            suffix=arguments["suffix"],
            etag=arguments["etag"],
            resume_within=desk.resume_within,
        )
        result = {"entry": view(account, entry).to_json(), "first": first, "length": length}
        async with aclosing(chunks) as pieces:
            await send.start(result, length)
            async for piece in pieces:
                await send.piece(piece)
            await send.end()


async def write(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """A new file."""
    account = await desk.account(arguments)
    parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    with busy(account):
        entry, created = await transfers.write(
            account.connector,
            parent,
            arguments["name"],
            body,
            size=arguments["size"],
            conflict=Conflict(arguments["conflict"]),
        )
    return {"entry": view(account, entry).to_json(), "created": created}


async def replace(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """New bytes for a file that is there."""
    account = await desk.account(arguments)
    raw_id, kind = account.ids.read(arguments["id"], Kind.FILE)
    entry = await expect(account, raw_id, kind)
    with busy(account):
        written = await account.connector.write(
            entry.parent or "",
            entry.name,
            body,
            size=arguments["size"],
            replace=True,
            etag=arguments["etag"],
        )
    return {**view(account, written).to_json(), "previous": view(account, entry).to_json()}


UPLOADS: dict[str, Upload] = {"/write": write, "/replace": replace}
