"""Bearer tokens of accounts."""

from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import AccessToken, Account, Application, now


async def create(
    session: AsyncSession, account_id: int, digest: bytes, sealed: bytes, scope: str, expires: datetime | None
) -> AccessToken:
    """The new token's row."""
    token = AccessToken(account_id=account_id, digest=digest, sealed=sealed, scope=scope, expires=expires)
    session.add(token)
    await session.flush()
    return token


async def by_digest(session: AsyncSession, digest: bytes) -> tuple[AccessToken, Account, Application] | None:
    """The token with its account and application; None when unknown, revoked, expired or switched off."""
    live = (
        select(AccessToken, Account, Application)
        .join(Account, AccessToken.account_id == Account.id)
        .join(Application, Account.application_id == Application.id)
        .where(AccessToken.digest == digest, AccessToken.revoked.is_(False), Application.active)
        .where(or_(AccessToken.expires.is_(None), AccessToken.expires > now()))
    )
    row = (await session.execute(live)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


async def revoke(session: AsyncSession, digest: bytes) -> bool:
    """Whether there was such a token; it works no more."""
    ended = update(AccessToken).where(AccessToken.digest == digest).values(revoked=True)
    return bool((await session.execute(ended)).rowcount)  # type: ignore[attr-defined]  # a CursorResult
