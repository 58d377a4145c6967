"""Uploads in parts: parts by number, expired ones in order, and all of it goes with the account."""

from datetime import datetime, timedelta

import pytest

from store.engine import Database
from store.errors import Missing
from store.queries import accounts, uploads
from store.tables import now
from tests.store.rows import account, tenant


@pytest.fixture
async def owner(database: Database) -> int:
    return await account(database, (await tenant(database)).application)


async def _upload(database: Database, owner: int, expires: datetime | None = None) -> str:
    async with database.session() as session:
        made = await uploads.create(
            session,
            owner,
            name="a",
            size=2**40,
            state="state",
            part_size=2**33,
            parallel=True,
            expires=expires or now() + timedelta(days=1),
        )
        return made.id


async def test_a_part_again_takes_the_place_of_the_first(database: Database, owner: int) -> None:
    upload = await _upload(database, owner)
    for number, size, tag in ((2, 10, "b"), (1, 2**33, "a"), (2, 20, "c")):
        async with database.session() as session:
            await uploads.put_part(session, upload, number, size, tag)
    async with database.session() as session:
        parts = await uploads.parts_of(session, upload)
        assert [(part.number, part.size, part.tag) for part in parts] == [(1, 2**33, "a"), (2, 20, "c")]


async def test_a_part_of_an_upload_that_is_over_is_refused(database: Database, owner: int) -> None:
    upload = await _upload(database, owner)
    async with database.session() as session:
        await uploads.put_part(session, upload, 1, 1, "a")
        await uploads.remove(session, upload)
    with pytest.raises(Missing):
        async with database.session() as session:
            await uploads.put_part(session, upload, 1, 1, "a")


async def test_another_accounts_and_expired_ones_are_not_there(database: Database, owner: int) -> None:
    other = await account(database, (await tenant(database, "bob")).application)
    mine, late = await _upload(database, owner), await _upload(database, owner, now() - timedelta(seconds=1))
    async with database.session() as session:
        assert await uploads.fetch(session, owner, mine) is not None
        assert await uploads.fetch(session, other, mine) is None
        assert await uploads.fetch(session, owner, late) is None
        assert {upload.id for upload in await uploads.of_account(session, owner)} == {mine, late}


async def test_expired_ones_are_found_page_by_page(database: Database, owner: int) -> None:
    at = now() - timedelta(days=1)
    late = [await _upload(database, owner, at + timedelta(minutes=minute)) for minute in (0, 1, 2)]
    same = sorted([await _upload(database, owner, at + timedelta(minutes=3)) for _ in range(2)])
    await _upload(database, owner)
    found: list[str] = []
    after = None
    async with database.session() as session:
        while page := await uploads.expired(session, after, 2):
            found += [upload.id for upload in page]
            after = (page[-1].expires, page[-1].id)
    assert found == [*late, *same]


async def test_they_go_with_their_account(database: Database, owner: int) -> None:
    upload = await _upload(database, owner)
    async with database.session() as session:
        await uploads.put_part(session, upload, 1, 1, "a")
    async with database.session() as session:
        await accounts.remove(session, owner)
        assert await uploads.of_account(session, owner) == []
        assert await uploads.parts_of(session, upload) == []
