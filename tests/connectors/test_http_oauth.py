"""OAuth 2.0 by Django OAuth Toolkit, a real server; its faults and counts by a double, with a real Apache."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, whole
from connectors.http import HttpConnector
from connectors.http.settings import HttpSettings
from connectors.http1.tokens import Issued, Tokens, TokenServer
from connectors.interface import (
    Alone,
    Authorised,
    BadAnswer,
    BadCredential,
    Context,
    Renewed,
    Request,
    StoreError,
    Throttled,
    Unavailable,
)
from connectors.interface.renewals import Exchange
from tests.servers.guarded import Guarded, guarded
from tests.servers.oauth_site import OAuthSite, oauth_site
from tests.servers.token_double import CLIENT, REFRESH_TOKEN, SECRET, TokenDouble, token_double

pytestmark = pytest.mark.server

FORM = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}


class Shared(Alone):
    """In place of the gateway's: what all who have an account open share; its refresh tokens in order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def renewed(self, consent: str, spent: str, exchange: Exchange) -> Renewed:
        async def noted(refresh_token: str) -> Renewed:
            made = await exchange(refresh_token)
            self.order.append(made.refresh_token)
            return made

        return await super().renewed(consent, spent, noted)


@dataclass
class Kept:
    """An account, as often opened as one likes."""

    settings: dict[str, str]
    shared: Shared = field(default_factory=Shared)

    @property
    def order(self) -> list[str]:
        return self.shared.order

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[FullConnector]:
        settings = HttpSettings.model_validate(self.settings)
        connector = await HttpConnector.open(
            settings, Context(Direct(), 5.0, forgotten, renewals=self.shared)
        )
        try:
            yield cast("FullConnector", connector)
        finally:
            await connector.aclose()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthSite]:
    with oauth_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("api"), "bearer") as running:
        running.put("a.txt", b"bytes")
        yield running


@pytest.fixture
def double(api: Guarded) -> Iterator[TokenDouble]:
    with token_double(api.token) as running:
        yield running


def account(api: Guarded, double: TokenDouble, **more: str) -> Kept:
    return Kept(double.settings(url=api.url, **more))


async def authorised(connector: FullConnector, refused: str | None = None) -> str:
    made: Authorised = await connector.authorise(
        Request("GET", connector.origins()[0], "/a.txt"), refused=refused
    )
    return dict(made.fields)["authorization"]


def server_of(double: TokenDouble) -> TokenServer:
    return TokenServer(double.url, Context(Direct(), 5.0, forgotten), None, {"": "no"})


async def forgotten(changes: dict[str, str]) -> None:
    raise AssertionError(f"nothing is to be kept: {changes}")


# the real server


@pytest.mark.parametrize("where", ["basic", "body"])
async def test_a_client_acts_for_itself(site: OAuthSite, where: str) -> None:
    async with Kept(site.settings("machine") | {"client_auth": where}).opened() as connector:
        before = site.issued()
        assert await whole(connector, "file.txt") == b"protected"
        assert await whole(connector, "file.txt") == b"protected"
        assert site.issued() == before + 1
        site.revoke()
        assert await whole(connector, "file.txt") == b"protected"
        assert site.issued() == before + 2


async def test_a_persons_consent_outlives_the_process(site: OAuthSite) -> None:
    """The server gives another refresh token with each access token, and takes the former no more."""
    kept = Kept(site.settings("person"))
    for times in (1, 1, 2, 3):
        if times > 1:
            site.revoke()
        async with kept.opened() as connector:
            assert await whole(connector, "file.txt") == b"protected"
        assert len(kept.order) == times
    spent = Kept(site.settings("person"))
    async with spent.opened() as connector:
        with pytest.raises(BadCredential, match="connected anew") as told:
            await whole(connector, "file.txt")
        assert site.refresh_token not in told.value.message


async def test_a_client_that_the_server_does_not_know(site: OAuthSite) -> None:
    async with Kept(site.settings("machine") | {"client_secret": "wrong"}).opened() as connector:
        with pytest.raises(BadCredential, match="client_id and client_secret"):
            await connector.stat("")


# how tokens are asked for


async def test_the_client_says_who_it_is_as_the_rfc_has_it(api: Guarded, double: TokenDouble) -> None:
    for where in ("basic", "body"):
        async with account(api, double, client_auth=where, scope="a b").opened() as connector:
            assert await whole(connector, "a.txt") == b"bytes"
    by_header, by_body = double.asked
    assert by_header["authorization"].startswith("Basic ")
    assert by_header == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "authorization": by_header["authorization"],
    }
    assert (by_body["client_id"], by_body["client_secret"]) == (CLIENT, SECRET)
    assert by_body["authorization"] == ""


async def test_two_who_have_the_account_open_share_its_tokens(api: Guarded, double: TokenDouble) -> None:
    double.rotates, double.takes = True, 0.1
    kept = account(api, double, refresh_token=REFRESH_TOKEN)
    async with kept.opened() as one, kept.opened() as other:
        for times in (1, 2):
            async with asyncio.TaskGroup() as tasks:
                both = [tasks.create_task(whole(connector, "a.txt")) for connector in (one, other)]
            assert {task.result() for task in both} == {b"bytes"}
            assert len(double.issued) == times
            double.revoke()
    assert kept.order == ["refresh-2", "refresh-3"]


async def test_whoever_asked_first_may_leave(api: Guarded, double: TokenDouble) -> None:
    """Its refresh token is spent by then: the exchange goes on, and what it gave is kept."""
    double.rotates, double.takes = True, 0.5
    kept = account(api, double, refresh_token=REFRESH_TOKEN)
    async with kept.opened() as connector:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await authorised(connector)
        assert await authorised(connector) == f"Bearer {double.issued[0]}"
        assert kept.order == ["refresh-2"]
    assert len(double.issued) == 1


async def test_closing_waits_for_what_is_under_way(api: Guarded, double: TokenDouble) -> None:
    double.rotates, double.takes = True, 0.5
    kept = account(api, double, refresh_token=REFRESH_TOKEN)
    async with kept.opened() as connector:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await authorised(connector)
    assert kept.order == ["refresh-2"]


# when


async def test_many_requests_cost_one_exchange(api: Guarded, double: TokenDouble) -> None:
    double.takes = 0.1
    async with account(api, double).opened() as connector, asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(authorised(connector))
    assert len(double.issued) == 1


async def test_many_refusals_of_one_token_cost_one_exchange(api: Guarded, double: TokenDouble) -> None:
    async with account(api, double).opened() as connector:
        await authorised(connector)
        for _ in range(3):  # some come while it runs, others behind it
            async with asyncio.TaskGroup() as tasks:
                again = [tasks.create_task(authorised(connector, refused="Bearer")) for _ in range(20)]
        assert {task.result() for task in again} == {f"Bearer {double.issued[1]}"}
    assert len(double.issued) == 2


async def test_a_failure_is_shared_too(api: Guarded, double: TokenDouble) -> None:
    double.takes, double.faults = 0.1, [(400, "invalid_grant")]

    async def told(connector: FullConnector) -> str:
        with pytest.raises(BadCredential) as error:
            await authorised(connector)
        return error.value.message

    async with account(api, double, refresh_token=REFRESH_TOKEN).opened() as connector:
        async with asyncio.TaskGroup() as tasks:
            every = [tasks.create_task(told(connector)) for _ in range(20)]
        assert len({task.result() for task in every}) == 1
        assert len(double.asked) == 1
        await authorised(connector)  # it is asked again, though


async def test_a_token_is_renewed_before_its_end(double: TokenDouble) -> None:
    now, server = 1000.0, server_of(double)

    async def exchange(spent: str) -> Issued:
        return await server.ask(FORM)

    held = Tokens(server, exchange, clock=lambda: now)
    for double.lives, used in ((3600.0, 3300.0), (400.0, 200.0), (10.0, 5.0)):
        token = await held.current()
        now += used - 0.1
        assert await held.current() == token
        now += 0.2
        assert await held.current() != token
        held.refused(double.issued[-1])
    assert len(double.issued) == 6
    await held.aclose()


async def test_many_refusals_are_of_the_token_that_was_replaced(double: TokenDouble) -> None:
    now, count = 1000.0, 0

    async def exchange(spent: str) -> Issued:
        nonlocal count
        assert spent == (f"token {count}" if count else "")
        count += 1
        return Issued(f"token {count}", 3600)

    held = Tokens(server_of(double), exchange, clock=lambda: now)
    await held.current()
    for seconds, after in ((0.0, 2), (5.0, 2), (6.0, 3)):
        now += seconds
        held.refused()
        assert await held.current() == f"token {after}"
    held.refused("token 2")  # where it is known which: an older one's refusal says nothing
    assert await held.current() == "token 3"


async def test_a_life_that_is_not_told_is_taken_for_a_short_one(double: TokenDouble) -> None:
    double.lives = None
    server = server_of(double)
    assert (await server.ask(FORM)).good_for == 300
    await server.aclose()


async def test_an_api_that_takes_no_token_costs_one_exchange_more(api: Guarded, double: TokenDouble) -> None:
    double.works = False
    double.revoke()
    async with account(api, double).opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("a.txt")
    assert len(double.issued) == 2


# what may go wrong there


@pytest.mark.parametrize(
    ("status", "fault", "error", "word"),
    [
        (400, "invalid_grant", BadCredential, "refresh token"),
        (401, "invalid_client", BadCredential, "client_id"),
        (400, "invalid_scope", BadCredential, "scope"),
        (400, "something_else", BadCredential, "token_url"),
        (200, "invalid_client", BadCredential, "client_id"),
        (302, "http://127.0.0.1:1/", BadAnswer, "302"),
        (404, "", BadAnswer, "address"),
        (429, "", Throttled, "fewer"),
        (503, "", Unavailable, "503"),
    ],
)
async def test_refusals_are_told_without_what_was_sent(
    api: Guarded, double: TokenDouble, status: int, fault: str, error: type[StoreError], word: str
) -> None:
    double.faults = [(status, fault)]
    async with account(api, double, refresh_token=REFRESH_TOKEN).opened() as connector:
        with pytest.raises(error, match=word) as told:
            await connector.stat("")
        assert not [one for one in (SECRET, REFRESH_TOKEN, double.url) if one in told.value.message]
        await connector.stat("")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"access_token": "two\nlines"},
        {"access_token": "t", "token_type": "mac"},
        {"access_token": "t", "refresh_token": ["none"]},
        {"access_token": "t", "expires_in": "soon"},
        {"access_token": "t", "expires_in": -1},
    ],
)
async def test_answers_that_are_none(
    api: Guarded, double: TokenDouble, monkeypatch: pytest.MonkeyPatch, told: dict[str, object]
) -> None:
    monkeypatch.setattr(double, "answer", lambda *_: (200, told))
    async with account(api, double).opened() as connector:
        with pytest.raises(BadAnswer):
            await connector.stat("")
