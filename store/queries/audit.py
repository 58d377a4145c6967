"""The audit log: append, and check the chain."""

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import StateError
from store.tables import Audit, now

_START = bytes(32)
_LOCK = 0x617564697400  # "audit" and a zero: PostgreSQL's advisory locks are numbers


class BrokenChain(StateError):
    """A row of the audit log was changed or removed."""


async def append(
    session: AsyncSession, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> None:
    """Adds a row behind the last one. Two writers at once: the later waits until the earlier has committed.

    So append last in a transaction: whoever appends next waits for what comes after it.
    """
    await _take_turns(session)
    last = await session.scalar(select(Audit.digest).order_by(Audit.id.desc()).limit(1))
    row = Audit(
        at=now(),
        actor=actor,
        action=action,
        subject=subject,
        detail=json.dumps(detail, sort_keys=True),
        previous=last or _START,
    )
    row.digest = _digest(row)
    session.add(row)
    await session.flush()


async def verify(session: AsyncSession) -> int:
    """The number of rows, each checked. Raises BrokenChain that names the first bad one."""
    previous, rows = _START, 0
    async for row in await session.stream_scalars(select(Audit).order_by(Audit.id)):
        if row.previous != previous or row.digest != _digest(row):
            raise BrokenChain(f"the audit log was tampered with at or before row {row.id}")
        previous, rows = row.digest, rows + 1
    return rows


async def _take_turns(session: AsyncSession) -> None:
    """On SQLite there is one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _digest(row: Audit) -> bytes:
    fields = [row.at.isoformat(), row.actor, row.action, row.subject, row.detail]
    return hashlib.sha256(row.previous + json.dumps(fields).encode()).digest()
