"""The audit log: appended by many, and a changed or missing row shows."""

import asyncio

import pytest
from sqlalchemy import delete, update

from store.engine import Database
from store.queries import audit
from store.tables import Audit


async def test_writers_at_once_make_one_chain(database: Database) -> None:
    async def add(number: int) -> None:
        async with database.session() as session:
            await audit.append(session, "ann", "account.connected", str(number), {"number": number})

    async with asyncio.TaskGroup() as tasks:
        for number in range(16):
            tasks.create_task(add(number))
    async with database.session() as session:
        assert await audit.verify(session) == 16


async def test_many_at_once_are_a_chain_in_their_order(database: Database) -> None:
    acts = [
        audit.Act("ann" if n % 2 else "bob", "storage.read", str(n % 3), {"number": n}) for n in range(500)
    ]
    async with database.session() as session:
        await audit.append(session, "ann", "account.connected", "0", {})
        await audit.append_all(session, acts)
        await audit.append_all(session, [])
    async with database.session() as session:
        assert await audit.verify(session) == 501
        newest = await audit.latest(session, 2, subject="1", actor="ann")
        assert [row.detail for row in newest] == ['{"number": 499}', '{"number": 493}']


@pytest.mark.parametrize(
    "tamper",
    [
        update(Audit).where(Audit.subject == "2").values(actor="somebody else"),
        update(Audit).where(Audit.subject == "2").values(detail='{"number": 7}'),
        delete(Audit).where(Audit.subject == "2"),
    ],
    ids=["who", "what", "gone"],
)
async def test_what_was_tampered_with_shows(
    database: Database,
    tamper: object,
) -> None:
    for number in range(4):
        async with database.session() as session:
            await audit.append(session, "ann", "account.connected", str(number), {"number": number})
    async with database.session() as session:
        await session.execute(tamper)  # type: ignore[call-overload]  # an UPDATE or a DELETE
    with pytest.raises(audit.BrokenChain, match="row"):
        async with database.session() as session:
            await audit.verify(session)
