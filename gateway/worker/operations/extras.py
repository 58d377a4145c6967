"""Operations on what a store may know beside bytes and names; properties it can't keep are kept by us."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import orjson

from connectors.interface import (
    AlreadyExists,
    CanKeepProperties,
    CanPresignUploads,
    CanSetPermissions,
    CanTellQuota,
    InvalidName,
    Kind,
    Unsupported,
)
from gateway.access.reads import reading
from gateway.operations import PropertyView, permission_from_json
from gateway.worker.accounts import OpenAccount
from gateway.worker.content import transfers
from gateway.worker.desk import Arguments, Desk, Operation, Upload, busy, expect, lacks
from store.queries import properties
from store.tables import Property

_MOST_PROPERTIES = 100
_MOST_JSON = 8 * 1024 * 1024


async def get_properties(desk: Desk, arguments: Arguments) -> Any:
    """A file's properties: the store's own where it keeps some, else ours."""
    account, raw_id = await _file(desk, arguments)
    with suppress(Unsupported):
        return _native(await _keeper(account).properties(raw_id))
    async with reading(desk.database) as session:
        return _ours(await properties.fetch(session, account.id, Kind.FILE, raw_id))


async def set_properties(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """The properties after the changes."""
    account, raw_id = await _file(desk, arguments)
    changes: dict[str, str | None] = await _json(body)
    with suppress(Unsupported):
        return _native(await _keeper(account).set_properties(raw_id, changes))
    async with desk.database.session() as session:
        after = await properties.change(session, account.id, Kind.FILE, raw_id, changes)
        if len(after) > _MOST_PROPERTIES:
            raise InvalidName(f"a file keeps at most {_MOST_PROPERTIES} properties here")
    return _ours(after)


async def clear_properties(desk: Desk, arguments: Arguments) -> Any:
    """Removes them all."""
    account, raw_id = await _file(desk, arguments)
    with suppress(Unsupported):
        keeper = _keeper(account)
        await keeper.set_properties(raw_id, dict.fromkeys(await keeper.properties(raw_id)))
        return {}
    async with desk.database.session() as session:
        await properties.clear(session, account.id, Kind.FILE, raw_id)
    return {}


async def get_permissions(desk: Desk, arguments: Arguments) -> Any:
    """Every grant on an entry."""
    account, connector = await _sharing(desk, arguments)
    raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
    await expect(account, raw_id, kind)
    return {"permissions": await connector.permissions(raw_id)}


async def set_permissions(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """Every grant afterwards."""
    account, connector = await _sharing(desk, arguments)
    raw_id, kind = account.ids.read(arguments["id"], arguments["kind"])
    await expect(account, raw_id, kind)
    grants = [permission_from_json(one) for one in await _json(body)]
    with busy(account):
        return {"permissions": await connector.set_permissions(raw_id, grants, replace=arguments["replace"])}


async def quota(desk: Desk, arguments: Arguments) -> Any:
    """The account's room."""
    _, connector = await desk.able(arguments, CanTellQuota, "tell how much room there is")  # type: ignore[type-abstract]  # a protocol
    return await connector.quota()


async def upload_url(desk: Desk, arguments: Arguments) -> Any:
    """A request that uploads to the store itself."""
    account, connector = await desk.able(arguments, CanPresignUploads, "make upload URLs")  # type: ignore[type-abstract]  # a protocol
    parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    name = arguments["name"]
    taken = await transfers.find(account.connector, parent, name)
    if taken is not None and (taken.kind is Kind.FOLDER or not arguments["replace"]):
        raise AlreadyExists(f"the name {name!r} is taken")
    return await connector.upload_url(parent, name, expires=arguments["expires"])


OPERATIONS: dict[str, Operation] = {
    "/properties": get_properties,
    "/clear_properties": clear_properties,
    "/permissions": get_permissions,
    "/quota": quota,
    "/upload_url": upload_url,
}
UPLOADS: dict[str, Upload] = {"/set_properties": set_properties, "/set_permissions": set_permissions}


async def _file(desk: Desk, arguments: Arguments) -> tuple[OpenAccount, str]:
    """The account, and the raw id of a file that is there."""
    account = await desk.account(arguments)
    raw_id, kind = account.ids.read(arguments["id"], Kind.FILE)
    await expect(account, raw_id, kind)
    return account, raw_id


def _keeper(account: OpenAccount) -> CanKeepProperties:
    if not isinstance(account.connector, CanKeepProperties):
        raise lacks(account, "keep properties")
    return account.connector


async def _sharing(desk: Desk, arguments: Arguments) -> tuple[OpenAccount, CanSetPermissions]:
    return await desk.able(arguments, CanSetPermissions, "tell or set permissions")  # type: ignore[type-abstract]  # a protocol


async def _json(body: AsyncIterator[bytes]) -> Any:
    received = bytearray()
    async for piece in body:
        received += piece
        if len(received) > _MOST_JSON:
            raise InvalidName("more than can be set at once")
    return orjson.loads(received)


def _native(found: dict[str, str]) -> Any:
    return {"properties": [PropertyView(key, found[key]) for key in sorted(found)]}


def _ours(found: Sequence[Property]) -> Any:
    return {"properties": [PropertyView(p.key, p.value, p.created, p.modified) for p in found]}
