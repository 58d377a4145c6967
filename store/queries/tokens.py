"""Bearer tokens of accounts."""

from collections.abc import Sequence
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


async def of_account(session: AsyncSession, account_id: int) -> Sequence[AccessToken]:
    """The account's tokens that still work, in the order in which they were made."""
    live = (
        select(AccessToken)
        .where(AccessToken.account_id == account_id, AccessToken.revoked.is_(False))
        .where(or_(AccessToken.expires.is_(None), AccessToken.expires > now()))
        .order_by(AccessToken.id)
    )
    return (await session.scalars(live)).all()


async def revoke(session: AsyncSession, token_id: int) -> bool:
    """Whether there was such a token that was not revoked; it works no more."""
    ended = update(AccessToken).where(AccessToken.id == token_id, AccessToken.revoked.is_(False))
    return bool((await session.execute(ended.values(revoked=True))).rowcount)  # type: ignore[attr-defined]  # a CursorResult
