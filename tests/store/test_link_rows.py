"""A link is found by its digest while it and its owners are on, and listed for its account alone."""

from datetime import timedelta
from typing import Any

import pytest

from store.engine import Database
from store.queries import accounts, applications, links
from store.tables import now
from tests.store.rows import account, digest, tenant


async def _link(database: Database, owner: int, number: int = 0, **fields: Any) -> str:
    async with database.session() as session:
        made = await links.create(
            session,
            owner,
            raw_id="a",
            file_id="f",
            name="a",
            digest=digest(f"{owner} {number}"),
            sealed=b"sealed",
            **fields,
        )
        return made.id


async def _found(database: Database, owner: int) -> bool:
    async with database.session() as session:
        return await links.by_digest(session, digest(f"{owner} 0")) is not None


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, True),
        ({"expiration": now() + timedelta(hours=1)}, True),
        ({"expiration": now() - timedelta(seconds=1)}, False),
        ({"active": False}, False),
    ],
)
async def test_a_link_works_while_it_is_active_and_not_expired(
    database: Database, fields: dict[str, Any], found: bool
) -> None:
    owner = await account(database, (await tenant(database)).application)
    await _link(database, owner, **fields)
    assert await _found(database, owner) is found


async def test_a_link_works_while_its_owners_are_switched_on(database: Database) -> None:
    ann = await tenant(database)
    owner = await account(database, ann.application)
    await _link(database, owner)
    assert await _found(database, owner)
    for switch in ("active", "enabled"):
        async with database.session() as session:
            await accounts.change(session, owner, **{switch: False})
        assert not await _found(database, owner)
        async with database.session() as session:
            await accounts.change(session, owner, **{switch: True})
    async with database.session() as session:
        application = await applications.fetch(session, ann.application)
        assert application is not None
        application.active = False
    assert not await _found(database, owner)


async def test_links_are_paged_oldest_first_and_counted(database: Database) -> None:
    ann = await tenant(database)
    mine, other = [await account(database, ann.application, name) for name in ("mine", "other")]
    made = [await _link(database, mine, number, active=number != 1) for number in range(5)]
    await _link(database, other)
    async with database.session() as session:
        pages = [
            [link.id for link in await links.page(session, [mine], active=None, offset=at, limit=2)]
            for at in (0, 2, 4)
        ]
        assert pages == [made[:2], made[2:4], made[4:]]
        assert await links.count(session, [mine], active=None) == 5
        assert await links.count(session, [mine, other], active=None) == 6
        off = await links.page(session, [mine, other], active=False, offset=0, limit=10)
        assert [link.id for link in off] == [made[1]]
        assert await links.count(session, [mine], active=True) == 4
