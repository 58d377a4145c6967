"""Whose turn it is to renew an account's access token, and the token that came of the last turn.

A turn is a compare-and-set on its number, and a lease that runs out: no statement here needs more of a
database than an UPDATE that says how many rows it changed. Leases compare the workers' clocks: they have to
agree to a few seconds.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Update, and_, or_, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Duplicate, Stale
from store.tables import Renewal, now


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn to renew an account's token: what comes of it counts while no later one's does."""

    account_id: int
    generation: int


async def fetch(session: AsyncSession, account_id: int) -> Renewal | None:
    """The last token and turn; None where there never was one."""
    return await session.get(Renewal, account_id)


async def take(session: AsyncSession, account_id: int, seen: Renewal | None, lease: timedelta) -> Turn | None:
    """The turn after the one that was seen, for so long; None when another has it, or had it meanwhile.

    Raises Missing when the account is gone.
    """
    if seen is None:
        return await _first(session, account_id, lease)
    free = or_(Renewal.leased.is_(None), Renewal.leased < now())
    mine = _of(Turn(account_id, seen.generation)).where(free)
    turn = Turn(account_id, seen.generation + 1)
    taken = mine.values(generation=turn.generation, leased=now() + lease)
    return turn if await _changed(session, taken) else None


async def hold(session: AsyncSession, turn: Turn, lease: timedelta) -> None:
    """The turn lasts so long from now; Stale when another has it by now."""
    if not await _changed(session, _of(turn).values(leased=now() + lease)):
        raise Stale("another worker renews this account's token now")


async def keep(session: AsyncSession, turn: Turn, sealed: bytes, *, revision: int) -> None:
    """Keeps what came of the turn, which ends; Stale when a later turn's is kept, or the account is gone."""
    earlier: ColumnElement[bool] = and_(Renewal.account_id == turn.account_id, Renewal.kept < turn.generation)
    kept = update(Renewal).where(earlier).values(sealed=sealed, kept=turn.generation, revision=revision)
    if not await _changed(session, kept):
        raise Stale("another worker has renewed this account's token meanwhile")
    await give_back(session, turn)


async def give_back(session: AsyncSession, turn: Turn) -> None:
    """Ends the turn; nothing when another has it by now."""
    await _changed(session, _of(turn).values(leased=None))


async def _first(session: AsyncSession, account_id: int, lease: timedelta) -> Turn | None:
    try:
        async with session.begin_nested():
            session.add(Renewal(account_id=account_id, generation=1, leased=now() + lease))
    except Duplicate:  # another worker was faster
        return None
    return Turn(account_id, 1)


def _of(turn: Turn) -> Update:
    return update(Renewal).where(Renewal.account_id == turn.account_id, Renewal.generation == turn.generation)


async def _changed(session: AsyncSession, statement: Update) -> bool:
    """Whether there was such a row."""
    done = await session.execute(statement.execution_options(synchronize_session=False))
    return bool(done.rowcount)  # type: ignore[attr-defined]  # a CursorResult
