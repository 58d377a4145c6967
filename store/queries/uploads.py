"""Uploads in parts."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Upload, UploadPart, now


async def create(
    session: AsyncSession,
    account_id: int,
    *,
    name: str,
    size: int | None,
    state: str,
    part_size: int,
    parallel: bool,
    expires: datetime,
    replaces: bool = False,
) -> Upload:
    """The new upload, with a random id. Raises Missing when the account is gone."""
    upload = Upload(
        id=secrets.token_urlsafe(18),
        account_id=account_id,
        name=name,
        size=size,
        state=state,
        part_size=part_size,
        parallel=parallel,
        expires=expires,
        replaces=replaces,
    )
    session.add(upload)
    await session.flush()
    return upload


async def fetch(session: AsyncSession, account_id: int, upload_id: str) -> Upload | None:
    """The account's upload; None when it is another's, over, or expired."""
    found = await session.get(Upload, upload_id)
    return found if found and found.account_id == account_id and found.expires > now() else None


async def parts_of(session: AsyncSession, upload_id: str) -> Sequence[UploadPart]:
    """The parts that the store has, by number."""
    mine = select(UploadPart).where(UploadPart.upload_id == upload_id)
    return (await session.scalars(mine.order_by(UploadPart.number))).all()


async def put_part(session: AsyncSession, upload_id: str, number: int, size: int, tag: str) -> None:
    """Notes a part that is stored, in place of one of this number. Raises Missing: the upload is over."""
    there = await session.get(UploadPart, (upload_id, number))
    if there is None:
        session.add(UploadPart(upload_id=upload_id, number=number, size=size, tag=tag))
    else:
        there.size, there.tag, there.modified = size, tag, now()
    await session.flush()


async def remove(session: AsyncSession, upload_id: str) -> None:
    """The upload is over; its parts go with it."""
    await session.execute(delete(Upload).where(Upload.id == upload_id))


async def of_account(session: AsyncSession, account_id: int) -> Sequence[Upload]:
    """Every upload of the account, expired ones too."""
    return (await session.scalars(select(Upload).where(Upload.account_id == account_id))).all()


async def expired(session: AsyncSession, after: tuple[datetime, str] | None, limit: int) -> Sequence[Upload]:
    """At most `limit` uploads that have expired, the oldest first, behind the (expires, id) given."""
    late = select(Upload).where(Upload.expires <= now())
    if after is not None:
        at, last = after
        late = late.where(or_(Upload.expires > at, (Upload.expires == at) & (Upload.id > last)))
    return (await session.scalars(late.order_by(Upload.expires, Upload.id).limit(limit))).all()
