"""Properties of files whose store has no place for them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Property, entry_digest, now, raw_bytes


async def fetch(session: AsyncSession, account_id: int, kind: str, raw_id: str) -> Sequence[Property]:
    """Every property of the entry, by key."""
    digest = entry_digest(kind, raw_bytes(raw_id))
    mine = select(Property).where(Property.account_id == account_id, Property.entry == digest)
    return (await session.scalars(mine.order_by(Property.key))).all()


async def change(
    session: AsyncSession, account_id: int, kind: str, raw_id: str, changes: Mapping[str, str | None]
) -> Sequence[Property]:
    """Every property after the changes, by key; None removes one."""
    raw, at = raw_bytes(raw_id), now()
    there = {row.key: row for row in await fetch(session, account_id, kind, raw_id)}
    for key, value in changes.items():
        row = there.get(key)
        if value is None:
            if row is not None:
                await session.delete(row)
        elif row is not None:
            row.value = value
        else:
            digest = entry_digest(kind, raw)
            session.add(
                Property(
                    account_id=account_id,
                    kind=kind,
                    raw_id=raw,
                    entry=digest,
                    key=key,
                    value=value,
                    created=at,
                    modified=at,
                )
            )
    await session.flush()
    return await fetch(session, account_id, kind, raw_id)


async def clear(session: AsyncSession, account_id: int, kind: str, raw_id: str) -> None:
    """Removes every property of the entry."""
    digest = entry_digest(kind, raw_bytes(raw_id))
    await session.execute(delete(Property).where(Property.account_id == account_id, Property.entry == digest))
