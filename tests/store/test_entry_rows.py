"""Links and properties follow their entries; another account's never do."""

from typing import TYPE_CHECKING

import pytest

from store.engine import Database
from store.queries import accounts, entries, links, properties
from tests.store.rows import account, digest, tenant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.tables import Property


async def _set(database: Database, owner: int, raw_id: str, **values: str | None) -> None:
    async with database.session() as session:
        await properties.change(session, owner, "file", raw_id, values)


async def _get(database: Database, owner: int, raw_id: str) -> dict[str, str]:
    async with database.session() as session:
        found: Sequence[Property] = await properties.fetch(session, owner, "file", raw_id)
        return {row.key: row.value for row in found}


async def _link(database: Database, owner: int, raw_id: str) -> str:
    async with database.session() as session:
        made = await links.create(
            session,
            owner,
            raw_id=raw_id,
            file_id=f"id of {raw_id}",
            name=raw_id.rpartition("/")[2],
            digest=digest(f"{owner} {raw_id}"),
            sealed=b"sealed",
        )
        return made.id


async def _linked(database: Database, owner: int, link: str) -> tuple[str, str] | None:
    async with database.session() as session:
        found = await links.fetch(session, owner, link)
        return None if found is None else (found.file_id, found.name)


async def _move(database: Database, owner: int, kind: str, old: str, new: str) -> None:
    async with database.session() as session:
        name = new.rstrip("/").rpartition("/")[2]
        await entries.move(session, owner, kind, old, new, name=name, public_id=lambda raw, _: f"id of {raw}")


@pytest.fixture
async def owner(database: Database) -> int:
    return await account(database, (await tenant(database)).application)


async def test_properties_are_set_changed_and_removed_by_key(database: Database, owner: int) -> None:
    await _set(database, owner, "a", colour="blue", size="XL")
    await _set(database, owner, "a", colour="red", size=None, none=None)
    assert await _get(database, owner, "a") == {"colour": "red"}
    async with database.session() as session:
        (row,) = await properties.fetch(session, owner, "file", "a")
        assert row.modified > row.created
        await properties.clear(session, owner, "file", "a")
    assert await _get(database, owner, "a") == {}


@pytest.mark.parametrize(("old", "new"), [("x/in", "y/out"), ("x/in/", "y/out/")])
async def test_a_moved_folder_takes_what_is_below_it_along(
    database: Database, owner: int, old: str, new: str
) -> None:
    for raw_id in ("x/in/a", "x/in/deep/b", "x/inside", "X/IN/a", "x/i%/a", "x/in"):
        await _set(database, owner, raw_id, at=raw_id)
    await _set(database, owner, "y/out/stale", at="nobody's")
    link = await _link(database, owner, "x/in/deep/b")
    await _move(database, owner, "folder", old, new)
    assert await _get(database, owner, "y/out/a") == {"at": "x/in/a"}
    assert await _get(database, owner, "y/out/deep/b") == {"at": "x/in/deep/b"}
    for untouched in ("x/inside", "X/IN/a", "x/i%/a", "x/in"):
        assert await _get(database, owner, untouched) == {"at": untouched}
    for gone in ("x/in/a", "y/out/stale"):
        assert await _get(database, owner, gone) == {}
    assert await _linked(database, owner, link) == ("id of y/out/deep/b", "b")


async def test_a_renamed_file_keeps_its_own_and_drops_what_was_left_at_the_name(
    database: Database, owner: int
) -> None:
    await _set(database, owner, "a", at="a")
    await _set(database, owner, "b", at="b", stale="yes")
    link = await _link(database, owner, "a")
    left = await _link(database, owner, "b")
    await _move(database, owner, "file", "a", "b")
    assert await _get(database, owner, "b") == {"at": "a"}
    assert await _linked(database, owner, link) == ("id of b", "b")
    assert await _linked(database, owner, left) is None


async def test_a_copy_has_the_properties_and_the_original_keeps_the_links(
    database: Database, owner: int
) -> None:
    await _set(database, owner, "x/a", at="a")
    link = await _link(database, owner, "x/a")
    async with database.session() as session:
        await entries.copy(session, owner, "folder", "x", owner, "y")
    assert await _get(database, owner, "x/a") == await _get(database, owner, "y/a") == {"at": "a"}
    assert await _linked(database, owner, link) == ("id of x/a", "a")


async def test_what_is_deleted_takes_its_own_along(database: Database, owner: int) -> None:
    for raw_id in ("x/a", "x/y/b", "xy"):
        await _set(database, owner, raw_id, at=raw_id)
    link = await _link(database, owner, "x/a")
    async with database.session() as session:
        assert await entries.anything(session, owner, "folder", "x")
        await entries.forget(session, owner, "folder", "x")
        assert not await entries.anything(session, owner, "folder", "x")
    assert [await _get(database, owner, raw_id) for raw_id in ("x/a", "x/y/b", "xy")] == [
        {},
        {},
        {"at": "xy"},
    ]
    assert await _linked(database, owner, link) is None


async def test_another_accounts_are_left_alone(database: Database, owner: int) -> None:
    other = await account(database, (await tenant(database, "bob")).application)
    await _set(database, other, "x/a", at="theirs")
    link = await _link(database, other, "x/a")
    await _move(database, owner, "folder", "x", "z")
    async with database.session() as session:
        await entries.forget(session, owner, "folder", "x")
        assert not await entries.anything(session, owner, "folder", "x")
        assert await links.fetch(session, owner, link) is None
        assert not await links.remove(session, owner, link)
    assert await _get(database, other, "x/a") == {"at": "theirs"}
    assert await _linked(database, other, link) == ("id of x/a", "a")


async def test_raw_ids_may_be_longer_than_an_index_and_no_text_at_all(database: Database, owner: int) -> None:
    for raw_id in ("d/" * 4000, "x\udcff/a", "nul\0"):
        await _set(database, owner, raw_id, at="here")
        assert await _get(database, owner, raw_id) == {"at": "here"}


async def test_both_go_with_their_account(database: Database, owner: int) -> None:
    await _set(database, owner, "a", at="a")
    link = await _link(database, owner, "a")
    async with database.session() as session:
        assert await accounts.remove(session, owner)
    assert await _linked(database, owner, link) is None
    assert await _get(database, owner, "a") == {}
