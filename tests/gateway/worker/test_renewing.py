"""The fence around a token: several on one real database stand for workers; the server is a double."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from connectors.conformance.direct import Direct
from connectors.http.settings import HttpSettings
from connectors.interface import BadCredential, NotFound, Renewed, Request, TimedOut, Unavailable
from gateway.access import connecting
from gateway.operations import AccountRef
from gateway.worker import renewing
from gateway.worker.accounts import Accounts, OpenAccount
from gateway.worker.renewing import Fence
from gateway.worker.safe import Safe
from store import envelope, migrate
from store.engine import Database, open_database
from store.envelope import keyfiles
from store.envelope.unseal import UnsealingKey
from store.queries import accounts, renewals
from tests.servers.token_double import REFRESH_TOKEN, token_double
from tests.store.rows import account, tenant

if TYPE_CHECKING:
    from connectors.conformance.kit import FullConnector

CONSENT = "refresh-0"


@dataclass
class Server:
    """A double: gives another refresh token each time, and ends the consent at one's second use."""

    good: str = CONSENT
    takes: float = 0.0
    used: list[str] = field(default_factory=list)

    async def exchange(self, refresh_token: str) -> Renewed:
        self.used.append(refresh_token)
        if refresh_token != self.good:
            self.good = ""
            raise BadCredential("the consent is ended")
        self.good = f"refresh-{len(self.used)}"
        await asyncio.sleep(self.takes)
        return Renewed(f"access-{len(self.used)}", time.time() + 60, self.good)


@dataclass
class Workers:
    """As many as one likes, on one database."""

    database: Database
    account: int
    safe: Safe

    def fence(self, confirmed: Callable[[int], bool] = lambda _: True, patience: float = 20.0) -> Fence:
        return Fence(self.database, self.account, self.safe, confirmed, patience)

    async def leased(self) -> bool:
        async with self.database.session() as session:
            row = await renewals.fetch(session, self.account)
        return row is not None and row.leased is not None


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Safe:
    pair = keyfiles.create_pair(tmp_path_factory.mktemp("keys"))
    return Safe(envelope.SealingKey.load(pair.public), [UnsealingKey.load(pair.private)])


@pytest.fixture
async def workers(tmp_path: Path, safe: Safe) -> AsyncIterator[Workers]:
    url = f"sqlite:///{tmp_path}/state.db"
    await asyncio.to_thread(migrate.upgrade, url)
    database = open_database(url)
    yield Workers(database, await account(database, (await tenant(database)).application), safe)
    await database.aclose()


async def test_workers_at_once_cost_one_exchange(workers: Workers) -> None:
    server, fences = Server(takes=0.3), [workers.fence() for _ in range(4)]
    spent = ""
    for times in (1, 2, 3):
        async with asyncio.TaskGroup() as tasks:
            every = [tasks.create_task(one.renewed(CONSENT, spent, server.exchange)) for one in fences]
        spent = f"access-{times}"
        assert {task.result().token for task in every} == {spent}
    assert server.used == ["refresh-0", "refresh-1", "refresh-2"]


async def test_a_worker_that_starts_later_needs_none(workers: Workers) -> None:
    server = Server()
    await workers.fence().renewed(CONSENT, "", server.exchange)
    assert (await workers.fence().renewed(CONSENT, "", server.exchange)).token == "access-1"
    assert server.used == ["refresh-0"]


async def test_another_consent_begins_anew(workers: Workers) -> None:
    server = Server()
    await workers.fence().renewed(CONSENT, "", server.exchange)
    server.good = "another person's"
    assert (await workers.fence().renewed("another person's", "", server.exchange)).token == "access-2"
    assert server.used == [CONSENT, "another person's"]


async def test_changed_settings_have_no_old_token_but_the_same_refresh_token(workers: Workers) -> None:
    server = Server()
    await workers.fence().renewed(CONSENT, "", server.exchange)
    async with workers.database.session() as session:
        await accounts.set_credential(session, workers.account, b"other settings", revision=0)
    with pytest.raises(Unavailable, match="settings were changed"):
        await workers.fence(lambda revision: revision == 0).renewed(CONSENT, "", server.exchange)
    opened_anew = workers.fence(lambda revision: revision == 1)
    assert (await opened_anew.renewed(CONSENT, "", server.exchange)).token == "access-2"
    assert server.used == ["refresh-0", "refresh-1"]


async def test_what_was_received_is_kept_before_it_is_used(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away just then: the turn stays this worker's, and what it has is kept the next time."""
    server, fence = Server(), workers.fence()
    with monkeypatch.context() as away:
        away.setattr(renewals, "keep", _broken)
        with pytest.raises(OSError, match="away"):
            await fence.renewed(CONSENT, "", server.exchange)
    assert await workers.leased()
    with pytest.raises(TimedOut):
        await workers.fence(patience=0.3).renewed(CONSENT, "", server.exchange)
    assert (await fence.renewed(CONSENT, "", server.exchange)).token == "access-1"
    assert (await workers.fence().renewed(CONSENT, "", server.exchange)).token == "access-1"
    assert server.used == ["refresh-0"]


async def _broken(*_: object, **__: object) -> None:
    raise OSError("the database is away")


async def test_a_refusal_gives_the_turn_back(workers: Workers) -> None:
    server = Server(good="another")
    with pytest.raises(BadCredential, match="ended"):
        await workers.fence().renewed(CONSENT, "", server.exchange)
    assert not await workers.leased()


async def test_a_turn_lasts_as_long_as_its_exchange(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    _short_leases(monkeypatch)
    server = Server(takes=2.0)
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(workers.fence().renewed(CONSENT, "", server.exchange)) for _ in range(2)]
    assert [task.result().token for task in both] == ["access-1", "access-1"]


async def test_a_killed_workers_turn_runs_out(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    _short_leases(monkeypatch)
    async with workers.database.session() as session:  # it took a turn, and that was the last of it
        assert await renewals.take(session, workers.account, None, renewing.LEASE) is not None
    server = Server()
    assert (await workers.fence().renewed(CONSENT, "", server.exchange)).token == "access-1"


async def test_a_token_that_comes_behind_anothers_is_dropped(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker stood still for longer than its lease; this server gives a refresh token more than once."""
    _short_leases(monkeypatch)
    monkeypatch.setattr(renewing, "_HOLD_EVERY", 3600.0)
    stands_still, goes_on = asyncio.Event(), asyncio.Event()

    async def late(refresh_token: str) -> Renewed:
        stands_still.set()
        await goes_on.wait()
        return Renewed("late", time.time() + 60, "late")

    async with _running(workers.fence().renewed(CONSENT, "", late)) as first:
        await stands_still.wait()
        second = await workers.fence().renewed(CONSENT, "", Server().exchange)
        goes_on.set()
        assert (await first).token == second.token == "access-1"


async def test_an_account_that_others_changed_is_opened_anew(tmp_path: Path, workers: Workers) -> None:
    """Also where nobody says which revision is wanted, as crawls and the command line do not."""
    with token_double(tmp_path / "accepted") as double:
        double.rotates = double.revokes = True
        plain = double.settings(url="http://api.example/", refresh_token=REFRESH_TOKEN)
        one, other = _opener(workers), _opener(workers)
        number, ref = await _connected(workers, plain)
        for opener in (one, other):
            await _authorised(await opener.require(ref))
        await one.amend(number, {"scope": "read"})
        double.revoke()
        stale = await other.require(ref)
        with pytest.raises(Unavailable, match="settings were changed"):
            await _authorised(stale, refused=True)
        fresh = await other.require(ref)
        assert fresh is not stale
        await _authorised(fresh)
        asked = [(form["refresh_token"], form.get("scope")) for form in double.asked]
        assert asked == [("refresh-1", None), ("refresh-2", "read")]
        for opener in (one, other):
            await opener.aclose()


def _opener(workers: Workers) -> Accounts:
    safe = workers.safe
    return Accounts(workers.database, safe.sealing, safe.private, bytes(32), lambda *_: Direct(), 5.0)


async def _connected(workers: Workers, plain: dict[str, str]) -> tuple[int, AccountRef]:
    async with workers.database.session() as session:
        first = await accounts.fetch(session, workers.account)
        assert first is not None
        made = await connecting.connect(
            session,
            workers.safe.sealing,
            application_id=first.application_id,
            service="http",
            settings=connecting.checked(HttpSettings, plain),
            network_id=None,
            actor="test",
        )
        return made.id, AccountRef(made.id, 0)


async def _authorised(opened: OpenAccount, *, refused: bool = False) -> None:
    connector = cast("FullConnector", opened.connector)
    request = Request("GET", connector.origins()[0], "/a")
    await connector.authorise(request, refused="Bearer" if refused else None)


async def test_a_removed_account_is_not_there(workers: Workers) -> None:
    async with workers.database.session() as session:
        await accounts.remove(session, workers.account)
    with pytest.raises(NotFound):
        await workers.fence().renewed(CONSENT, "", Server().exchange)


def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "LEASE", timedelta(seconds=0.9))
    monkeypatch.setattr(renewing, "_HOLD_EVERY", 0.2)


@asynccontextmanager
async def _running[T](work: Awaitable[T]) -> AsyncIterator[asyncio.Future[T]]:
    running = asyncio.ensure_future(work)
    try:
        yield running
    finally:
        running.cancel()
