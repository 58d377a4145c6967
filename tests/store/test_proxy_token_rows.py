"""A token for the native proxy is found by its digest while it and its owners are on."""

from datetime import timedelta
from typing import Any

import pytest

from store.engine import Database
from store.queries import applications, proxy_tokens
from store.tables import now
from tests.store.rows import account, digest, tenant


async def _token(database: Database, owner: int, word: str = "a", **fields: Any) -> int:
    async with database.session() as session:
        return (await proxy_tokens.create(session, owner, digest(word), **fields)).id


async def _found(database: Database, word: str = "a") -> bool:
    async with database.session() as session:
        return await proxy_tokens.by_digest(session, digest(word)) is not None


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, True),
        ({"expires": now() + timedelta(hours=1)}, True),
        ({"expires": now() - timedelta(seconds=1)}, False),
    ],
)
async def test_found_while_it_lasts(database: Database, fields: dict[str, Any], found: bool) -> None:
    owner = await account(database, (await tenant(database)).application)
    await _token(database, owner, **fields)
    assert await _found(database) is found
    assert not await _found(database, "b")


async def test_a_revoked_one_is_gone_and_another_accounts_is_not_revoked(database: Database) -> None:
    application = (await tenant(database)).application
    owner, other = await account(database, application), await account(database, application)
    made = await _token(database, owner, hosts=["h"], paths=["/p"])
    async with database.session() as session:
        assert not await proxy_tokens.revoke(session, made, other)
        assert [row.hosts for row in await proxy_tokens.of_account(session, owner)] == ['["h"]']
        assert await proxy_tokens.revoke(session, made, owner)
        assert not await proxy_tokens.revoke(session, made)
        assert list(await proxy_tokens.of_account(session, owner)) == []
    assert not await _found(database)


async def test_an_application_that_is_off_has_no_tokens(database: Database) -> None:
    application = (await tenant(database)).application
    await _token(database, await account(database, application))
    async with database.session() as session:
        found = await applications.fetch(session, application)
        assert found is not None
        found.active = False
    assert not await _found(database)
