"""Tasks that clients poll."""

from datetime import datetime

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Task, now

UNFINISHED = ("PENDING", "RECEIVED", "STARTED")


async def create(
    session: AsyncSession, task_id: str, account_id: int, operation: str, request_id: str | None
) -> Task:
    """The new task, which waits for its turn. Raises Missing when the account is gone."""
    task = Task(id=task_id, account_id=account_id, operation=operation, request_id=request_id)
    session.add(task)
    await session.flush()
    return task


async def fetch(session: AsyncSession, account_id: int, task_id: str) -> Task | None:
    """The account's task, or None: also for another account's."""
    found = await session.get(Task, task_id)
    return found if found is not None and found.account_id == account_id else None


async def change(session: AsyncSession, task_id: str, **fields: object) -> None:
    """Sets columns of a task; nothing when it is gone."""
    await session.execute(update(Task).where(Task.id == task_id).values(**fields, modified=now()))


async def fail_unfinished(session: AsyncSession, error: str) -> int:
    """How many there were; each has failed now, with this error."""
    left = update(Task).where(Task.state.in_(UNFINISHED))
    ended = await session.execute(left.values(state="FAILURE", error=error, finished=now(), modified=now()))
    return int(ended.rowcount)  # type: ignore[attr-defined]  # a CursorResult


async def purge(session: AsyncSession, before: datetime) -> int:
    """How many had finished before that moment; they are gone."""
    gone = await session.execute(delete(Task).where(Task.finished < before))
    return int(gone.rowcount)  # type: ignore[attr-defined]  # a CursorResult
