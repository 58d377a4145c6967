"""Tokens for the native proxy."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Account, Application, ProxyToken, now


async def create(
    session: AsyncSession,
    account_id: int,
    digest: bytes,
    *,
    name: str = "",
    hosts: Sequence[str] = (),
    methods: Sequence[str] = (),
    paths: Sequence[str] = (),
    read_only: bool = False,
    expires: datetime | None = None,
) -> ProxyToken:
    """The new token's row. An empty list allows every host, method or path of the account."""
    token = ProxyToken(
        account_id=account_id,
        digest=digest,
        name=name,
        hosts=json.dumps(list(hosts)),
        methods=json.dumps(list(methods)),
        paths=json.dumps(list(paths)),
        read_only=read_only,
        expires=expires,
    )
    session.add(token)
    await session.flush()
    return token


async def by_digest(session: AsyncSession, digest: bytes) -> tuple[ProxyToken, Account] | None:
    """The token with its account; None when unknown, revoked or expired, or its application is off."""
    live = (
        select(ProxyToken, Account)
        .join(Account, ProxyToken.account_id == Account.id)
        .join(Application, Account.application_id == Application.id)
        .where(ProxyToken.digest == digest, ProxyToken.revoked.is_(False), Application.active)
        .where(or_(ProxyToken.expires.is_(None), ProxyToken.expires > now()))
    )
    row = (await session.execute(live)).one_or_none()
    return None if row is None else (row[0], row[1])


async def of_account(session: AsyncSession, account_id: int) -> Sequence[ProxyToken]:
    """The account's tokens that still work, oldest first."""
    live = (
        select(ProxyToken)
        .where(ProxyToken.account_id == account_id, ProxyToken.revoked.is_(False))
        .where(or_(ProxyToken.expires.is_(None), ProxyToken.expires > now()))
        .order_by(ProxyToken.id)
    )
    return (await session.scalars(live)).all()


async def revoke(session: AsyncSession, token_id: int, account_id: int | None = None) -> bool:
    """Whether there was such a token that worked, of that account if one is given; it works no more."""
    ended = update(ProxyToken).where(ProxyToken.id == token_id, ProxyToken.revoked.is_(False))
    if account_id is not None:
        ended = ended.where(ProxyToken.account_id == account_id)
    return bool((await session.execute(ended.values(revoked=True))).rowcount)  # type: ignore[attr-defined]  # a CursorResult
