"""What we keep about entries, links and properties, follows what is done to them through the gateway."""

from connectors.interface import Entry
from gateway.access.reads import reading
from gateway.worker.accounts import OpenAccount
from gateway.worker.desk import Desk
from store.queries import entries


async def moved(desk: Desk, account: OpenAccount, old: Entry, new: Entry) -> None:
    """The entry has another name or place, and so has all below it."""
    if await _anything(desk, account, old) or await _anything(desk, account, new):
        async with desk.database.session() as session:
            await entries.move(
                session,
                account.id,
                old.kind,
                old.raw_id,
                new.raw_id,
                name=new.name,
                public_id=account.ids.of,
            )


async def copied(desk: Desk, account: OpenAccount, old: Entry, target: OpenAccount, new: Entry) -> None:
    """A copy was made, with all below it, in the same account or another one."""
    if await _anything(desk, account, old) or await _anything(desk, target, new):
        async with desk.database.session() as session:
            await entries.copy(session, account.id, old.kind, old.raw_id, target.id, new.raw_id)


async def deleted(desk: Desk, account: OpenAccount, gone: Entry) -> None:
    """The entry is gone, with all below it."""
    if await _anything(desk, account, gone):
        async with desk.database.session() as session:
            await entries.forget(session, account.id, gone.kind, gone.raw_id)


async def _anything(desk: Desk, account: OpenAccount, entry: Entry) -> bool:
    """Looked up first: mostly there is nothing, and a look needs no turn with other writers."""
    async with reading(desk.database) as session:
        return await entries.anything(session, account.id, entry.kind, entry.raw_id)
