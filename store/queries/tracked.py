"""What crawls saw of accounts: found by entry, by folder, by version, by what is still to be told."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import CHANGED, GONE, KNOWN, NEW, Feed, Tracked

type Row = dict[str, Any]
"""Columns of a tracked entry, without account and number."""


async def of_entries(session: AsyncSession, account_id: int, entries: Sequence[bytes]) -> Sequence[Tracked]:
    """Those of the entries, given by their digests, that are tracked; in no order."""
    mine = select(Tracked).where(Tracked.account_id == account_id, Tracked.entry.in_(entries))
    return (await session.scalars(mine)).all()


async def numbers(session: AsyncSession, account_id: int, after: int, limit: int) -> Sequence[int]:
    """At most `limit` numbers of tracked entries > `after`, in order."""
    mine = select(Tracked.number).where(Tracked.account_id == account_id, Tracked.number > after)
    return (await session.scalars(mine.order_by(Tracked.number).limit(limit))).all()


async def of_numbers(session: AsyncSession, account_id: int, given: Sequence[int]) -> Sequence[Tracked]:
    """The entries with these numbers, in their order."""
    mine = select(Tracked).where(Tracked.account_id == account_id, Tracked.number.in_(given))
    return (await session.scalars(mine.order_by(Tracked.number))).all()


async def below(
    session: AsyncSession, account_id: int, folder: bytes, kind: str, limit: int
) -> Sequence[Tracked]:
    """At most `limit` entries of that kind directly in the folder, which is given by its digest."""
    mine = select(Tracked).where(
        Tracked.account_id == account_id, Tracked.folder == folder, Tracked.kind == kind
    )
    return (await session.scalars(mine.limit(limit))).all()


async def in_state(
    session: AsyncSession,
    account_id: int,
    state: int,
    limit: int,
    *,
    kind: str | None = None,
    after: int = 0,
    last_first: bool = False,
) -> Sequence[Tracked]:
    """At most `limit` entries in a state, by number."""
    mine = select(Tracked).where(
        Tracked.account_id == account_id, Tracked.state == state, Tracked.number > after
    )
    if kind is not None:
        mine = mine.where(Tracked.kind == kind)
    order = Tracked.number.desc() if last_first else Tracked.number
    return (await session.scalars(mine.order_by(order).limit(limit))).all()


async def moved_once(session: AsyncSession, account_id: int, versions: Sequence[bytes]) -> dict[bytes, int]:
    """The new entry's number by version, for those that one gone and one new entry have, and no other."""
    counted = (
        select(
            Tracked.version,
            func.max(case((Tracked.state == NEW, Tracked.number), else_=0)),
        )
        .where(Tracked.account_id == account_id, Tracked.version.in_(versions))
        .group_by(Tracked.version)
        .having(
            func.count() == 2,
            func.sum(case((Tracked.state == NEW, 1), else_=0)) == 1,
            func.sum(case((Tracked.state == GONE, 1), else_=0)) == 1,
        )
    )
    return {version: int(number) for version, number in await session.execute(counted) if version is not None}


async def add(session: AsyncSession, account_id: int, rows: Sequence[Row]) -> range:
    """The numbers that the new entries got, in their order."""
    if not rows:
        return range(0)
    counted = update(Feed).where(Feed.account_id == account_id).values(numbered=Feed.numbered + len(rows))
    last = await session.scalar(counted.returning(Feed.numbered).execution_options(synchronize_session=False))
    given = range(int(last or 0) - len(rows) + 1, int(last or 0) + 1)
    placed = [{"account_id": account_id, "number": n, **row} for n, row in zip(given, rows, strict=True)]
    await session.execute(insert(Tracked), placed)
    return given


async def change(session: AsyncSession, account_id: int, rows: Sequence[Row]) -> None:
    """Sets columns of entries; each row has a `number`."""
    if rows:
        await session.execute(update(Tracked), [{"account_id": account_id, **row} for row in rows])


async def mark_gone(session: AsyncSession, account_id: int, given: Sequence[int]) -> None:
    """The entries are not there any more; those that were never told of are forgotten at once."""
    mine = (Tracked.account_id == account_id, Tracked.number.in_(given))
    await session.execute(_silently(delete(Tracked).where(*mine, Tracked.state == NEW)))
    await session.execute(_silently(update(Tracked).where(*mine).values(state=GONE)))


async def recall_gone(session: AsyncSession, account_id: int) -> None:
    """What an unfinished crawl took for gone is as before."""
    mine = update(Tracked).where(Tracked.account_id == account_id, Tracked.state == GONE)
    before = case((Tracked.previous.is_(None), KNOWN), else_=CHANGED)
    await session.execute(_silently(mine.values(state=before)))


async def settle(session: AsyncSession, account_id: int, given: Sequence[int]) -> None:
    """The entries are told as they are."""
    mine = update(Tracked).where(Tracked.account_id == account_id, Tracked.number.in_(given))
    await session.execute(_silently(mine.values(state=KNOWN, previous=None)))


async def forget(session: AsyncSession, account_id: int, given: Sequence[int]) -> None:
    """The entries with these numbers are not tracked any more."""
    mine = delete(Tracked).where(Tracked.account_id == account_id, Tracked.number.in_(given))
    await session.execute(_silently(mine))


async def forget_entries(session: AsyncSession, account_id: int, entries: Sequence[bytes]) -> None:
    """The entries with these digests are not tracked any more."""
    mine = delete(Tracked).where(Tracked.account_id == account_id, Tracked.entry.in_(entries))
    await session.execute(_silently(mine))


def _silently[S: Any](
    statement: S,
) -> S:  # Any: SQLAlchemy's updates and deletes have no common type for this
    silent: S = statement.execution_options(synchronize_session=False)
    return silent
