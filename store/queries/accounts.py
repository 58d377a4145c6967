"""Connected accounts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Stale
from store.tables import Account, now


async def create(
    session: AsyncSession,
    *,
    application_id: str,
    service: str,
    display_name: str,
    network_id: int | None,
    credential: bytes,
) -> Account:
    """The new account. Its credential's context holds its id, so `set_credential` follows."""
    account = Account(
        application_id=application_id,
        service=service,
        display_name=display_name,
        network_id=network_id,
        credential=credential,
        revision=0,
    )
    session.add(account)
    await session.flush()
    return account


async def set_credential(session: AsyncSession, account_id: int, sealed: bytes, *, revision: int) -> None:
    """Replaces the credential that had this revision and raises the revision by one; else Stale."""
    swap = (
        update(Account)
        .where(Account.id == account_id, Account.revision == revision)
        .values(credential=sealed, revision=revision + 1, modified=now())
    )
    if not (await session.execute(swap)).rowcount:  # type: ignore[attr-defined]  # a CursorResult
        raise Stale("the account's credential changed meanwhile")


async def fetch(session: AsyncSession, account_id: int) -> Account | None:
    """The account, or None."""
    return await session.get(Account, account_id)


async def fetch_owned(session: AsyncSession, application_id: str, ids: Sequence[int]) -> Sequence[Account]:
    """Those of the ids that are the application's own, in id order."""
    mine = select(Account).where(Account.application_id == application_id, Account.id.in_(ids))
    return (await session.scalars(mine.order_by(Account.id))).all()


async def page(
    session: AsyncSession, application_id: str, *, offset: int, limit: int, **filters: Any
) -> Sequence[Account]:
    """At most `limit` of the application's accounts behind the first `offset`, in id order; see `count`."""
    mine = _filtered(select(Account), application_id, **filters)
    return (await session.scalars(mine.order_by(Account.id).offset(offset).limit(limit))).all()


async def count(session: AsyncSession, application_id: str, **filters: Any) -> int:
    """How many match: `active`, `admin` (bool), `service` (exact), `search` (in the display name)."""
    return await session.scalar(_filtered(select(func.count(Account.id)), application_id, **filters)) or 0


async def every(session: AsyncSession, application_id: str | None = None) -> Sequence[Account]:
    """Every account, or every one of the application, in id order."""
    wanted = select(Account) if application_id is None else _filtered(select(Account), application_id)
    return (await session.scalars(wanted.order_by(Account.id))).all()


async def usable(session: AsyncSession) -> Sequence[Account]:
    """Every account of anybody's that is on, in id order."""
    on = select(Account).where(Account.enabled, Account.active)
    return (await session.scalars(on.order_by(Account.id))).all()


async def change(session: AsyncSession, account_id: int, **fields: Any) -> None:
    """Sets plain columns of an account."""
    await session.execute(update(Account).where(Account.id == account_id).values(**fields, modified=now()))


async def remove(session: AsyncSession, account_id: int) -> bool:
    """Whether it was there; its tokens and tasks go with it."""
    gone = await session.execute(delete(Account).where(Account.id == account_id))
    return bool(gone.rowcount)  # type: ignore[attr-defined]  # a CursorResult


def _filtered[S: Select[Any]](
    query: S,
    application_id: str,
    *,
    active: bool | None = None,
    admin: bool | None = None,
    service: str | None = None,
    search: str | None = None,
) -> S:
    query = query.where(Account.application_id == application_id)
    if active is not None:
        query = query.where(Account.active == active)
    if admin is not None:
        query = query.where(Account.admin == admin)
    if service is not None:
        query = query.where(Account.service == service)
    if search is not None:
        query = query.where(Account.display_name.icontains(search, autoescape=True))
    return query
