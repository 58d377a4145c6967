"""Operations on files and folders as entries: what is there, under which name, in which folder."""

from typing import Any

from connectors.interface import (
    AlreadyExists,
    CanMakeFolders,
    CanMove,
    CanPurge,
    InvalidName,
    Kind,
    Page,
)
from gateway.operations import Conflict
from gateway.worker.accounts import OpenAccount
from gateway.worker.content import transfers
from gateway.worker.desk import Arguments, Desk, Operation, expect, lacks, not_into_itself, view
from gateway.worker.operations import kept


async def stat(desk: Desk, arguments: Arguments) -> Any:
    """One entry, of the kind that was asked for."""
    account = await desk.account(arguments)
    raw_id, kind = account.ids.read(arguments["id"], arguments.get("kind"))
    return view(account, await expect(account, raw_id, kind)).to_json()


async def list_folder(desk: Desk, arguments: Arguments) -> Any:
    """A page of a folder."""
    account = await desk.account(arguments)
    raw_id, _ = account.ids.read(arguments["id"], Kind.FOLDER)
    return shown(account, await account.connector.list(raw_id, arguments["cursor"], arguments["limit"]))


def shown(account: OpenAccount, page: Page) -> Any:
    """A page as the api takes it."""
    entries = [view(account, entry).to_json() for entry in page.entries]
    return {"entries": entries, "next_cursor": page.next_cursor}


async def mkdir(desk: Desk, arguments: Arguments) -> Any:
    """A folder, new or there already."""
    account = await desk.account(arguments)
    parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    connector = account.connector
    if not isinstance(connector, CanMakeFolders):
        raise lacks(account, "create folders")
    name = arguments["name"]
    try:
        return {"entry": view(account, await connector.mkdir(parent, name)).to_json(), "created": True}
    except AlreadyExists:
        there = await transfers.find(connector, parent, name)
        if there is None or there.kind is Kind.FILE or arguments["conflict"] == Conflict.ERROR:
            raise
        return {"entry": view(account, there).to_json(), "created": False}


async def move(desk: Desk, arguments: Arguments) -> Any:
    """The entry at its new place; where nothing changes, as it is."""
    account, connector = await desk.able(arguments, CanMove, "move or rename")  # type: ignore[type-abstract]  # a protocol
    raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
    entry = await expect(account, raw_id, kind)
    if entry.parent is None:
        raise InvalidName("the root folder can't be moved or renamed")
    parent = entry.parent
    if arguments["parent_id"] is not None:
        parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    name = arguments["name"] or entry.name
    if (parent, name) == (entry.parent, entry.name):
        return {"entry": view(account, entry).to_json()}
    not_into_itself(entry, parent)
    moved = await connector.move(raw_id, parent, name)
    await kept.moved(desk, account, entry, moved)
    return {"entry": view(account, moved).to_json(), "previous": view(account, entry).to_json()}


async def delete(desk: Desk, arguments: Arguments) -> Any:
    """Removes the entry; for good, when that is asked for and more than deleting it."""
    account = await desk.account(arguments)
    raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
    if raw_id == "" and kind is Kind.FOLDER:
        raise InvalidName("the root folder can't be deleted")
    entry = await expect(account, raw_id, kind)
    connector, recursive = account.connector, arguments["recursive"]
    if arguments["permanent"] and isinstance(connector, CanPurge):
        await connector.purge(raw_id, recursive=recursive)
    else:
        await connector.delete(raw_id, recursive=recursive)
    await kept.deleted(desk, account, entry)
    return {"previous": view(account, entry).to_json()}


async def encode_raw_id(desk: Desk, arguments: Arguments) -> Any:
    """The public id of a raw one."""
    account = await desk.account(arguments)
    kind = Kind(arguments["kind"])
    return {"id": account.ids.make(account.connector.normal_id(arguments["raw_id"], kind), kind)}


OPERATIONS: dict[str, Operation] = {
    "/stat": stat,
    "/list": list_folder,
    "/mkdir": mkdir,
    "/move": move,
    "/delete": delete,
    "/encode_raw_id": encode_raw_id,
}
