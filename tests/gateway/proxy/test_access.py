"""Wrong tokens are throttled by address; whoever has a right one is let through all the same."""

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from gateway.access import neighbours, tokens
from gateway.operations import Operations
from gateway.proxy.access import Access
from gateway.proxy.grants import Denied
from store import migrate
from store.engine import open_database
from store.queries import proxy_tokens
from tests.store.rows import account, tenant


def field(owner: int, token: str) -> str:
    return "Basic " + b64encode(f"{owner}:{token}".encode()).decode()


async def test_the_twenty_first_wrong_token_is_a_429_and_a_right_one_is_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    await asyncio.to_thread(migrate.upgrade, url)
    database, operations = open_database(url), Operations(tmp_path / "nobody.sock", tmp_path / "nobody.sock")
    now = 0.0
    access = Access(database, operations, clock=lambda: now)
    owner = await account(database, (await tenant(database)).application)
    right = tokens.make()
    async with database.session() as session:
        await proxy_tokens.create(session, owner, tokens.digest(right), read_only=True)

    async def status(token: str, address: str = "192.0.2.1") -> int:
        try:
            await access.grant(address, field(owner, token))
        except Denied as denied:
            return denied.status
        return 200

    assert [await status(f"wrong {n}") for n in range(22)] == [407] * 20 + [429] * 2
    assert await status("wrong", "192.0.2.2") == 407
    assert await status(right) == 200
    now = 61.0
    assert await status("wrong") == 407
    await operations.aclose()
    await database.aclose()


@pytest.mark.parametrize(
    "wrong", ["Bearer abc", "Basic", "Basic !!!", "Basic " + b64encode(b"7").decode(), ""]
)
async def test_anything_but_basic_with_a_name_and_a_token_is_a_407(tmp_path: Path, wrong: str) -> None:
    database, operations = (
        open_database(f"sqlite:///{tmp_path / 'x.db'}"),
        Operations(tmp_path / "nobody.sock", tmp_path / "nobody.sock"),
    )
    with pytest.raises(Denied) as denied:
        await Access(database, operations).grant("192.0.2.1", wrong)
    assert denied.value.status == 407
    await operations.aclose()
    await database.aclose()


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unnamed", "unnamed"),
    ],
)
def test_wrong_tokens_are_counted_by_whoever_may_have_the_address(address: str, counted_as: str) -> None:
    assert neighbours(address) == counted_as
