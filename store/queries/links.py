"""Links that share files."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Account, Application, Link, entry_digest, now, raw_bytes


async def create(
    session: AsyncSession,
    account_id: int,
    *,
    raw_id: str,
    file_id: str,
    name: str,
    digest: bytes,
    sealed: bytes,
    **fields: Any,
) -> Link:
    """The new link of a file, with a random id."""
    raw, at = raw_bytes(raw_id), now()
    link = Link(
        id=secrets.token_urlsafe(18),
        account_id=account_id,
        kind="file",
        raw_id=raw,
        entry=entry_digest("file", raw),
        file_id=file_id,
        name=name,
        digest=digest,
        sealed=sealed,
        created=at,
        modified=at,
        **fields,
    )
    session.add(link)
    await session.flush()
    return link


async def fetch(session: AsyncSession, account_id: int, link_id: str) -> Link | None:
    """The account's link, or None: also for another account's."""
    found = await session.get(Link, link_id)
    return found if found is not None and found.account_id == account_id else None


async def page(
    session: AsyncSession, account_ids: Sequence[int], *, active: bool | None, offset: int, limit: int
) -> Sequence[Link]:
    """At most `limit` links of the accounts behind the first `offset`, oldest first."""
    mine = _of(select(Link), account_ids, active).order_by(Link.created, Link.id)
    return (await session.scalars(mine.offset(offset).limit(limit))).all()


async def count(session: AsyncSession, account_ids: Sequence[int], *, active: bool | None) -> int:
    """How many there are."""
    return await session.scalar(_of(select(func.count(Link.id)), account_ids, active)) or 0


async def by_digest(session: AsyncSession, digest: bytes) -> tuple[Link, Account] | None:
    """The link with its account; None when unknown, inactive, expired, or its owner is switched off."""
    live = (
        select(Link, Account)
        .join(Account, Link.account_id == Account.id)
        .join(Application, Account.application_id == Application.id)
        .where(Link.digest == digest, Link.active, Account.active, Account.enabled, Application.active)
        .where(or_(Link.expiration.is_(None), Link.expiration > now()))
    )
    row = (await session.execute(live)).one_or_none()
    return None if row is None else (row[0], row[1])


async def remove(session: AsyncSession, account_id: int, link_id: str) -> bool:
    """Whether the account had such a link; it is gone now."""
    mine = delete(Link).where(Link.account_id == account_id, Link.id == link_id)
    return bool((await session.execute(mine)).rowcount)  # type: ignore[attr-defined]  # a CursorResult


def _of[S: Select[Any]](query: S, account_ids: Sequence[int], active: bool | None) -> S:
    query = query.where(Link.account_id.in_(account_ids))
    return query if active is None else query.where(Link.active == active)
