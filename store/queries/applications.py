"""Applications and their API keys."""

import secrets
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import ApiKey, Application, Developer


async def create(session: AsyncSession, developer_id: int, name: str, **fields: object) -> Application:
    """The new application, with a random id and no key yet."""
    application = Application(id=_random_id(), developer_id=developer_id, name=name, **fields)
    session.add(application)
    await session.flush()
    return application


def _random_id() -> str:
    """At least 130 random bits; a command takes it as an argument, so it begins with no dash."""
    return secrets.token_urlsafe(18).lstrip("-_")


async def fetch(session: AsyncSession, application_id: str) -> Application | None:
    """The application, or None."""
    return await session.get(Application, application_id)


async def every(session: AsyncSession) -> Sequence[tuple[Application, str]]:
    """Every application with its developer's e-mail address, in the order of addresses and names."""
    owned = select(Application, Developer.email).join(Developer)
    rows = await session.execute(owned.order_by(Developer.email, Application.name, Application.id))
    return [(application, email) for application, email in rows]


async def owned_by(
    session: AsyncSession, developer_id: int, after: str = "", limit: int = 100
) -> Sequence[Application]:
    """At most `limit` applications of the developer with id > `after`, in id order."""
    mine = select(Application).where(Application.developer_id == developer_id, Application.id > after)
    return (await session.scalars(mine.order_by(Application.id).limit(limit))).all()


async def add_key(session: AsyncSession, application_id: str, digest: bytes, sealed: bytes) -> ApiKey:
    """The new key's row."""
    key = ApiKey(application_id=application_id, digest=digest, sealed=sealed)
    session.add(key)
    await session.flush()
    return key


async def keys_of(session: AsyncSession, application_id: str) -> Sequence[ApiKey]:
    """The application's keys, oldest first."""
    mine = select(ApiKey).where(ApiKey.application_id == application_id)
    return (await session.scalars(mine.order_by(ApiKey.id))).all()


async def remove_key(session: AsyncSession, application_id: str, digest: bytes) -> bool:
    """Whether there was such a key of the application; it is gone now."""
    mine = delete(ApiKey).where(ApiKey.application_id == application_id, ApiKey.digest == digest)
    return bool((await session.execute(mine)).rowcount)  # type: ignore[attr-defined]  # a CursorResult


async def by_key(session: AsyncSession, digest: bytes) -> Application | None:
    """The active application whose API key has this digest, or None."""
    found = select(Application).join(ApiKey).where(ApiKey.digest == digest, Application.active)
    return await session.scalar(found)


async def remove(session: AsyncSession, application_id: str) -> bool:
    """Whether it was there; its keys, accounts and tokens go with it."""
    gone = await session.execute(delete(Application).where(Application.id == application_id))
    return bool(gone.rowcount)  # type: ignore[attr-defined]  # a CursorResult
