"""Events of accounts: appended in one sequence for each account, read by cursor, purged by age."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Event, Feed, now


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that has no number yet; `entry` and `previous` are JSON."""

    type: str
    entry: str
    previous: str | None = None
    ours: bool = False
    actor: str | None = None
    ip: str | None = None
    at: datetime = field(default_factory=now)


async def append(session: AsyncSession, account_id: int, happened: Sequence[Happened]) -> int:
    """The last event's number. Two writers at once: the later waits until the earlier has committed.

    So numbers have no gaps, and who has read one has read all before it. Raises Duplicate when another wrote
    the account's first event meanwhile, Missing when the account is gone.
    """
    counted = update(Feed).where(Feed.account_id == account_id).values(head=Feed.head + len(happened))
    head = await session.scalar(counted.returning(Feed.head).execution_options(synchronize_session=False))
    if head is None:
        session.add(Feed(account_id=account_id, head=len(happened)))
        await session.flush()
        head = len(happened)
    first = head - len(happened) + 1
    rows = [
        {
            "account_id": account_id,
            "sequence": first + at,
            "type": one.type,
            "at": one.at,
            "ours": one.ours,
            "actor": one.actor,
            "ip": one.ip,
            "entry": one.entry,
            "previous": one.previous,
        }
        for at, one in enumerate(happened)
    ]
    await session.execute(insert(Event), rows)
    return int(head)


async def feed(session: AsyncSession, account_id: int) -> Feed | None:
    """The account's feed; None before its first event and crawl."""
    return await session.get(Feed, account_id)


async def page(
    session: AsyncSession,
    account_id: int,
    after: int,
    limit: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[Event]:
    """At most `limit` events behind number `after`, in order; of the time from `since` to before `until`."""
    wanted = select(Event).where(Event.account_id == account_id, Event.sequence > after)
    if since is not None:
        wanted = wanted.where(Event.at >= since)
    if until is not None:
        wanted = wanted.where(Event.at < until)
    return (await session.scalars(wanted.order_by(Event.sequence).limit(limit))).all()


async def ours_after(session: AsyncSession, account_id: int, after: int, limit: int) -> Sequence[Event]:
    """At most `limit` events of changes that the gateway made, behind number `after`, in order."""
    wanted = select(Event).where(Event.account_id == account_id, Event.sequence > after, Event.ours)
    return (await session.scalars(wanted.order_by(Event.sequence).limit(limit))).all()


async def heads(session: AsyncSession, account_ids: Iterable[int]) -> dict[int, int]:
    """Each account's last number; those without a feed are missing."""
    found = await session.execute(
        select(Feed.account_id, Feed.head).where(Feed.account_id.in_(list(account_ids)))
    )
    return {row.account_id: row.head for row in found}


async def purge(session: AsyncSession, account_id: int, before: datetime, most: int) -> int:
    """How many events that happened before that moment went: at most `most`, the oldest."""
    old = select(func.max(Event.sequence)).where(Event.account_id == account_id, Event.at < before)
    last = await session.scalar(old)
    known = await session.get(Feed, account_id)
    if last is None or known is None or last <= known.purged:
        return 0
    last = min(last, known.purged + most)
    gone = last - known.purged
    await session.execute(delete(Event).where(Event.account_id == account_id, Event.sequence <= last))
    known.purged = last
    return gone
