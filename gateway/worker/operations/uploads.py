"""Operations on uploads in parts, and the clean-up of those that expired."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from connectors.interface import (
    CanWriteInParts,
    Kind,
    NotFound,
    Part,
    PreconditionFailed,
    StoreError,
)
from gateway.access.reads import reading
from gateway.operations import AccountRef, Conflict, PartView, UploadView
from gateway.worker import desk as desks
from gateway.worker.accounts import OpenAccount, one_work
from gateway.worker.content import transfers
from gateway.worker.desk import Arguments, Desk, Operation, busy, view
from store.envelope import unseal
from store.errors import Missing
from store.queries import uploads
from store.tables import Upload, UploadPart, now

_log = logging.getLogger(__name__)
_SERIAL = 0  # the turn that all parts share where a store takes one at a time
_CLEAN_UP_EVERY = 3600.0
_AT_ONCE = 100
_GIVE_UP_AFTER = timedelta(days=30)


async def begin(desk: Desk, arguments: Arguments) -> Any:
    """A new upload for a name that is free, or that may be replaced."""
    account, connector = await _able(desk, arguments)
    parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    conflict, size = Conflict(arguments["conflict"]), arguments["size"]
    with busy(account):
        name, replace = await transfers.place(account.connector, parent, arguments["name"], conflict)
        begun = await connector.begin_upload(parent, name, size=size, replace=replace)
        try:
            async with desk.database.session() as session:
                row = await uploads.create(
                    session,
                    account.id,
                    name=name,
                    size=size,
                    state=begun.state,
                    part_size=begun.part_size,
                    parallel=begun.parallel,
                    replaces=replace,
                    expires=now() + timedelta(seconds=desk.upload_expiry),
                )
        except BaseException:
            await connector.abandon_upload(begun.state)
            raise
    return _shown(row, [])


async def show(desk: Desk, arguments: Arguments) -> Any:
    """An upload and its parts. The store is not asked."""
    account = AccountRef(**arguments["account"])
    async with reading(desk.database) as session:
        row = _required(await uploads.fetch(session, account.id, arguments["upload_id"]))
        return _shown(row, await uploads.parts_of(session, row.id))


async def write_part(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """A part, stored and noted."""
    account, connector = await _able(desk, arguments)
    row = await _row(desk, account, arguments)
    number, size = arguments["number"], arguments["size"]
    async with desk.turns.part(row.id, number if row.parallel else _SERIAL):
        with busy(account):
            tag = await connector.write_part(row.state, number, body, size=size)
        try:
            async with desk.database.session() as session:
                await uploads.put_part(session, row.id, number, size, tag)
        except Missing:
            raise NotFound("the upload is over") from None
    return PartView(number, size, now())


async def complete(desk: Desk, arguments: Arguments) -> Any:
    """The file. Its parts must be as many, and as large together, as whoever asks has checked.

    `replaced` tells whether it took another's name, as far as that was there when the upload began.
    """
    account, connector = await _able(desk, arguments)
    row = await _row(desk, account, arguments)
    async with desk.turns.end(row.id, stop_writers=False):
        async with reading(desk.database) as session:
            parts = [Part(p.number, p.size, p.tag) for p in await uploads.parts_of(session, row.id)]
        if (len(parts), sum(part.size for part in parts)) != (arguments["parts"], arguments["size"]):
            raise PreconditionFailed("the parts changed meanwhile")
        with busy(account):
            entry = await connector.complete_upload(row.state, parts)
        await _over(desk, row)
    return {**view(account, entry).to_json(), "replaced": row.replaces}


async def abandon(desk: Desk, arguments: Arguments) -> Any:
    """Drops an upload here and on the store."""
    account, connector = await _able(desk, arguments)
    row = await _row(desk, account, arguments)
    await _abandon(desk, connector, row)
    return {}


async def abandon_all(desk: Desk, arguments: Arguments) -> Any:
    """Drops every upload of an account; the store is asked if there is any."""
    ref = AccountRef(**arguments["account"])
    async with reading(desk.database) as session:
        rows = await uploads.of_account(session, ref.id)
    for row in rows:
        _, connector = await _able(desk, arguments)
        await _abandon(desk, connector, row)
    return {}


OPERATIONS: dict[str, Operation] = {
    "/begin_upload": begin,
    "/upload": show,
    "/complete_upload": complete,
    "/abandon_upload": abandon,
    "/abandon_uploads": abandon_all,
}
UPLOADS: dict[str, desks.Upload] = {"/write_part": write_part}


async def clean_up(desk: Desk) -> None:
    """Runs until cancelled: drops expired uploads at once, then every hour, or as often as they expire."""
    while True:
        try:
            await drop_expired(desk)
        except Exception:  # noqa: BLE001  this task's root: the worker goes on, and the next round tries
            _log.exception("cleaning up expired uploads failed")
        await asyncio.sleep(min(_CLEAN_UP_EVERY, desk.upload_expiry))


async def drop_expired(desk: Desk) -> None:
    """Abandons what expired, here and on the stores. A store that fails is left for the next round."""
    after: tuple[datetime, str] | None = None
    away: set[int] = set()
    while True:
        async with reading(desk.database) as session:
            page = await uploads.expired(session, after, _AT_ONCE)
        for row in page:
            if row.account_id not in away and not await _dropped(desk, row):
                away.add(row.account_id)
        if not page:
            return
        after = (page[-1].expires, page[-1].id)


async def _dropped(desk: Desk, row: Upload) -> bool:
    """Whether the expired upload is gone, or given up."""
    try:
        with one_work():
            account = await desk.accounts.require(AccountRef(row.account_id, 0))
            if isinstance(account.connector, CanWriteInParts):
                await _abandon(desk, account.connector, row)
            else:
                await _over(desk, row)
    except (StoreError, ValueError, unseal.Unsealable) as error:  # ValueError: settings of another version
        late = {"upload": row.id, "account": row.account_id, "cause": type(error).__name__}
        if now() - row.expires < _GIVE_UP_AFTER:
            _log.warning("an expired upload stays on its store for now", extra=late)
            return False
        _log.warning("an expired upload is left to its store for good", extra=late)
        await _over(desk, row)
    return True


async def _able(desk: Desk, arguments: Arguments) -> tuple[OpenAccount, CanWriteInParts]:
    return await desk.able(arguments, CanWriteInParts, "take uploads in parts")  # type: ignore[type-abstract]  # a protocol


async def _row(desk: Desk, account: OpenAccount, arguments: Arguments) -> Upload:
    async with reading(desk.database) as session:
        return _required(await uploads.fetch(session, account.id, arguments["upload_id"]))


def _required(row: Upload | None) -> Upload:
    if row is None:
        raise NotFound("there is no such upload")
    return row


async def _abandon(desk: Desk, connector: CanWriteInParts, row: Upload) -> None:
    async with desk.turns.end(row.id, stop_writers=True):
        with suppress(NotFound):
            await connector.abandon_upload(row.state)
        await _over(desk, row)


async def _over(desk: Desk, row: Upload) -> None:
    async with desk.database.session() as session:
        await uploads.remove(session, row.id)


def _shown(row: Upload, parts: Sequence[UploadPart]) -> UploadView:
    return UploadView(
        id=row.id,
        name=row.name,
        size=row.size,
        part_size=row.part_size,
        parallel=row.parallel,
        created=row.created,
        expires=row.expires,
        parts=tuple(PartView(part.number, part.size, part.modified) for part in parts),
    )
