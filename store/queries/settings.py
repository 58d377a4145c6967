"""The gateway's own sealed settings."""

from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Duplicate
from store.tables import SealedSetting


async def get(session: AsyncSession, name: str) -> bytes | None:
    """The sealed value, or None."""
    found = await session.get(SealedSetting, name)
    return None if found is None else found.sealed


async def put_once(session: AsyncSession, name: str, sealed: bytes) -> bytes:
    """The value that stands: this one when there was none, else the one that was there."""
    if (there := await get(session, name)) is not None:
        return there
    try:
        async with session.begin_nested():
            session.add(SealedSetting(name=name, sealed=sealed))
    except Duplicate:  # another process was faster
        return await get(session, name) or sealed
    return sealed
