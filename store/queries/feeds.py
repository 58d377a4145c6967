"""Whose turn it is to crawl which account: what is due, leases with a fence, how crawls ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Stale
from store.tables import Account, Application, Feed, now


@dataclass(frozen=True, slots=True)
class Claim:
    """A turn to crawl an account: valid as long as nobody has a later generation."""

    account_id: int
    generation: int


async def unplanned(session: AsyncSession, limit: int) -> Sequence[int]:
    """At most `limit` accounts whose events are wanted and for whom no crawl is planned."""
    wanted = (
        select(Account.id)
        .join(Application)
        .outerjoin(Feed, Feed.account_id == Account.id)
        .where(_collected(), or_(Feed.account_id.is_(None), Feed.due.is_(None)))
    )
    return (await session.scalars(wanted.order_by(Account.id).limit(limit))).all()


async def plan(session: AsyncSession, account_id: int) -> None:
    """The account is due now. Raises Missing when it is gone."""
    known = await session.get(Feed, account_id)
    if known is None:
        session.add(Feed(account_id=account_id, due=now()))
        await session.flush()
    elif known.due is None:
        known.due = now()


async def hurry(session: AsyncSession, account_id: int) -> None:
    """If crawls of the account are planned, the next one is due now."""
    planned = update(Feed).where(Feed.account_id == account_id, Feed.due.is_not(None))
    await session.execute(planned.values(due=now()))


async def due(session: AsyncSession, limit: int) -> Sequence[int]:
    """At most `limit` accounts that wait to be crawled, the longest first."""
    waiting = select(Feed.account_id).where(Feed.due <= now(), _free())
    return (await session.scalars(waiting.order_by(Feed.due).limit(limit))).all()


async def claim(session: AsyncSession, account_id: int, lease: timedelta) -> Claim | None:
    """The turn, for so long; None when another has it."""
    free = update(Feed).where(Feed.account_id == account_id, Feed.due <= now(), _free())
    taken = free.values(generation=Feed.generation + 1, leased=now() + lease).returning(Feed.generation)
    generation = await session.scalar(taken.execution_options(synchronize_session=False))
    return None if generation is None else Claim(account_id, generation)


async def hold(session: AsyncSession, turn: Claim, **fields: object) -> None:
    """Sets columns of the feed, none or some, if it is still this crawl's turn; else Stale.

    First in every transaction of a crawl that writes: what follows is then no late holder's.
    """
    mine = update(Feed).where(Feed.account_id == turn.account_id, Feed.generation == turn.generation)
    fields = fields or {"generation": turn.generation}
    held = await session.execute(mine.values(**fields).execution_options(synchronize_session=False))
    if not held.rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Stale("another worker crawls this account now")


async def wanted(session: AsyncSession, account_id: int) -> bool:
    """Whether the account's application has events enabled, and neither is switched off."""
    mine = select(Account.id).join(Application).where(Account.id == account_id, _collected())
    return await session.scalar(mine) is not None


async def enabled(session: AsyncSession, account_id: int) -> bool:
    """Whether the account's application has events enabled."""
    mine = select(Application.events_enabled).join(Account).where(Account.id == account_id)
    return bool(await session.scalar(mine))


async def after(session: AsyncSession, account_id: int, limit: int) -> Sequence[int]:
    """At most `limit` accounts with a feed and an id > `account_id`, in id order."""
    known = select(Feed.account_id).where(Feed.account_id > account_id)
    return (await session.scalars(known.order_by(Feed.account_id).limit(limit))).all()


def planned_at(at: datetime) -> dict[str, object]:
    """Columns for the end of a crawl: the turn is given back, the next is due then."""
    return {"leased": None, "due": at}


def _free() -> ColumnElement[bool]:
    return or_(Feed.leased.is_(None), Feed.leased < now())


def _collected() -> ColumnElement[bool]:
    return and_(Application.events_enabled, Application.active, Account.active, Account.enabled)
