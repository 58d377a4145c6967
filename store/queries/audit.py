"""The audit log: append, and check the chain."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import StateError
from store.tables import Audit, now

_START = bytes(32)
_LOCK = 0x617564697400  # "audit" and a zero: PostgreSQL's advisory locks are numbers


class BrokenChain(StateError):
    """A row of the audit log was changed or removed."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a row tells: who did what to which thing, and when it was over."""

    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]
    at: datetime = field(default_factory=now)


async def append(
    session: AsyncSession, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> None:
    """Adds a row behind the last one. Two writers at once: the later waits until the earlier has committed.

    So append last in a transaction: whoever appends next waits for what comes after it.
    """
    await append_all(session, [Act(actor, action, subject, detail)])


async def append_all(session: AsyncSession, acts: Sequence[Act]) -> None:
    """Adds a row for each act, in their order; as `append` does."""
    if not acts:
        return
    await _take_turns(session)
    previous = await session.scalar(select(Audit.digest).order_by(Audit.id.desc()).limit(1)) or _START
    rows = []
    for act in acts:
        row: dict[str, Any] = {
            "at": act.at,
            "actor": act.actor,
            "action": act.action,
            "subject": act.subject,
            "detail": json.dumps(act.detail, sort_keys=True),
            "previous": previous,
        }
        row["digest"] = previous = _digest(Audit(**row))
        rows.append(row)
    await session.execute(insert(Audit), rows)  # not by the unit of work: a tenth of the time a row


async def latest(
    session: AsyncSession, limit: int, *, subject: str | None = None, actor: str | None = None
) -> Sequence[Audit]:
    """At most `limit` rows, the newest first; of one subject, by one actor, when they are given."""
    wanted = select(Audit).order_by(Audit.id.desc()).limit(limit)
    if subject is not None:
        wanted = wanted.where(Audit.subject == subject)
    if actor is not None:
        wanted = wanted.where(Audit.actor == actor)
    return (await session.scalars(wanted)).all()


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
