"""Developers and their Meta tokens."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Developer, DeveloperKey


async def create(
    session: AsyncSession, email: str, password_hash: str | None, *, key_digest: bytes, key_sealed: bytes
) -> Developer:
    """The new developer, with a first Meta token. Raises Duplicate when the e-mail is taken."""
    developer = Developer(email=email, password_hash=password_hash)
    session.add(developer)
    await session.flush()
    session.add(DeveloperKey(developer_id=developer.id, digest=key_digest, sealed=key_sealed))
    await session.flush()
    return developer


async def by_email(session: AsyncSession, email: str) -> Developer | None:
    """The developer of that e-mail, or None."""
    return await session.scalar(select(Developer).where(Developer.email == email))


async def by_key(session: AsyncSession, digest: bytes) -> Developer | None:
    """The developer whose Meta token has this digest, or None."""
    return await session.scalar(select(Developer).join(DeveloperKey).where(DeveloperKey.digest == digest))
