"""Tasks that clients poll."""

from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Task


async def fetch(session: AsyncSession, account_id: int, task_id: str) -> Task | None:
    """The account's task, or None: also for another account's."""
    found = await session.get(Task, task_id)
    return found if found is not None and found.account_id == account_id else None
