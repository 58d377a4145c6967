"""Connected accounts: whose they are, their ids, and two writers at once."""

import asyncio

import pytest

from store.engine import Database
from store.errors import Missing, Stale, Unfit
from store.queries import accounts
from tests.store.rows import account, tenant


async def test_a_credential_is_replaced_by_who_saw_the_last_one(database: Database) -> None:
    number = await account(database, (await tenant(database)).application)
    async with database.session() as session:
        await accounts.set_credential(session, number, b"second", revision=0)
    with pytest.raises(Stale):
        async with database.session() as session:
            await accounts.set_credential(session, number, b"too late", revision=0)
    async with database.session() as session:
        found = await accounts.fetch(session, number)
    assert found is not None
    assert (found.credential, found.revision) == (b"second", 1)


async def test_writers_at_once_lose_nothing(database: Database) -> None:
    number = await account(database, (await tenant(database)).application)

    async def add_one() -> None:
        while True:
            try:
                async with database.session() as session:
                    seen = await accounts.fetch(session, number)
                    assert seen is not None
                    longer = seen.credential + b"x"
                    await accounts.set_credential(session, number, longer, revision=seen.revision)
            except Stale:
                continue
            return

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(add_one())
    async with database.session() as session:
        found = await accounts.fetch(session, number)
    assert found is not None
    assert (found.credential, found.revision) == (b"sealed" + 16 * b"x", 16)


async def test_a_removed_accounts_id_never_comes_back(database: Database) -> None:
    ann = await tenant(database)
    removed = await account(database, ann.application)
    async with database.session() as session:
        assert await accounts.remove(session, removed)
        assert not await accounts.remove(session, removed)
    assert await account(database, ann.application) > removed


async def test_another_applications_accounts_are_not_there(database: Database) -> None:
    ann, bob = await tenant(database), await tenant(database, "bob")
    hers, his = await account(database, ann.application), await account(database, bob.application)
    async with database.session() as session:
        seen = await accounts.fetch_owned(session, bob.application, [hers, his])
        assert [one.id for one in seen] == [his]
        assert await accounts.count(session, bob.application) == 1


@pytest.mark.parametrize(
    ("search", "found"),
    [("ärger", ["Ärger"]), ("%", ["100%"]), ("_", []), ("R", ["Ärger", "other"]), ("", None)],
)
async def test_a_search_is_for_letters_of_any_case_and_no_pattern(
    database: Database, search: str, found: list[str] | None
) -> None:
    ann = await tenant(database)
    names = ["Ärger", "100%", "other"]
    for name in names:
        await account(database, ann.application, name)
    async with database.session() as session:
        page = await accounts.page(session, ann.application, offset=0, limit=10, search=search)
        assert [one.display_name for one in page] == (names if found is None else found)


async def test_pages_are_in_the_order_of_ids(database: Database) -> None:
    ann = await tenant(database)
    ids = [await account(database, ann.application, f"number {at}") for at in range(5)]
    async with database.session() as session:
        pages = [
            [one.id for one in await accounts.page(session, ann.application, offset=offset, limit=2)]
            for offset in (0, 2, 4, 6)
        ]
    assert pages == [ids[:2], ids[2:4], ids[4:], []]


async def test_an_account_of_no_application_is_refused(database: Database) -> None:
    with pytest.raises(Missing):
        await account(database, "nobody")


async def test_a_number_that_no_column_holds_is_refused_alike(database: Database) -> None:
    with pytest.raises(Unfit):
        async with database.session() as session:
            await accounts.fetch(session, 2**70)
