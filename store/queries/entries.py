"""What is kept about entries, following them: moved, copied, deleted; a folder with everything below it.

On a path-based store what is below a folder has its raw id as a prefix. Where ids are not paths no row
matches the prefix, and none has to: there the ids stay as they are.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, LargeBinary, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.tables import Link, OfEntry, Property, entry_digest, raw_bytes

_KEPT: tuple[type[Link] | type[Property], ...] = (Link, Property)

type PublicId = Callable[[str, str], str]
"""The public id of a raw id and a kind."""


async def anything(session: AsyncSession, account_id: int, kind: str, raw_id: str) -> bool:
    """Whether anything is kept about the entry, or below it."""
    raw = raw_bytes(raw_id)
    for table in _KEPT:
        if await session.scalar(select(exists().where(*_at_or_below(table, account_id, kind, raw)))):
            return True
    return False


async def move(
    session: AsyncSession,
    account_id: int,
    kind: str,
    old: str,
    new: str,
    *,
    name: str,
    public_id: PublicId,
) -> None:
    """The entry is called `name` and has the raw id `new` now; what was left over there is dropped."""
    before, after = raw_bytes(old), raw_bytes(new)
    if before != after:
        await forget(session, account_id, kind, new)
    for table in _KEPT:
        for row in await _rows(session, table, account_id, kind, before):
            row.place(_moved(row.raw_id, before, after))
            if isinstance(row, Link):
                row.file_id = public_id(row.raw_id.decode("utf-8", "surrogateescape"), row.kind)
                row.name = name if row.raw_id == after else row.name
    await session.flush()


async def copy(session: AsyncSession, account_id: int, kind: str, old: str, target_id: int, new: str) -> None:
    """The copy, in the target account, has the same properties; links stay with the original."""
    before, after = raw_bytes(old), raw_bytes(new)
    await forget(session, target_id, kind, new)
    for row in await _rows(session, Property, account_id, kind, before):
        raw = _moved(row.raw_id, before, after)
        session.add(
            Property(
                account_id=target_id,
                kind=row.kind,
                raw_id=raw,
                entry=entry_digest(row.kind, raw),
                key=row.key,
                value=row.value,
            )
        )
    await session.flush()


async def forget(session: AsyncSession, account_id: int, kind: str, raw_id: str) -> None:
    """The entry is gone: so is what was kept about it, and below it."""
    raw = raw_bytes(raw_id)
    for table in _KEPT:
        await session.execute(
            delete(table)
            .where(*_at_or_below(table, account_id, kind, raw))
            .execution_options(synchronize_session=False)
        )


async def _rows[T: OfEntry](
    session: AsyncSession, table: type[T], account_id: int, kind: str, raw: bytes
) -> Sequence[T]:
    return (await session.scalars(select(table).where(*_at_or_below(table, account_id, kind, raw)))).all()


def _at_or_below(
    table: type[OfEntry], account_id: int, kind: str, raw: bytes
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    mine = table.account_id == account_id
    itself = table.entry == entry_digest(kind, raw)
    if kind == "file":
        return mine, itself
    prefix = _prefix(raw)
    # not LIKE: SQLite's does not tell upper from lower case
    below = func.substr(table.raw_id, 1, len(prefix), type_=LargeBinary) == prefix
    return mine, or_(itself, below)


def _moved(raw: bytes, before: bytes, after: bytes) -> bytes:
    return after if raw == before else _prefix(after) + raw[len(_prefix(before)) :]


def _prefix(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"
