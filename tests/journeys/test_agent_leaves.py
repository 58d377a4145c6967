"""An agent is stopped, killed or revoked while connections of accounts run through it, idle and busy ones."""

import asyncio
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from gateway.operations.client import Operations
from gateway.operations.messages import TunnelView
from gateway.settings import Settings
from tests.journeys.product import AGENT, Gateway
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server]
BIG = 128 * 1024 * 1024
AT_ONCE = 10.0  # seconds: an agent gives the streams that nobody ends 30
SERVICES = ("sftp", "webdav")

type Agent = subprocess.Popen[bytes]


class Office:
    """A gateway, a network with two agents that joined, and an account on each store in there."""

    def __init__(self, gateway: Gateway, webdav: Apache) -> None:
        self.gateway = gateway
        url = webdav.url.replace("localhost", "127.0.0.1")
        dav = gateway.connect("webdav", url=url, username=USER, password=PASSWORD)
        self._accounts = {"sftp": gateway.account, "webdav": dav}
        self.rules = gateway.allowed
        self.configs = [str(gateway.folder / "agent.toml")]
        self.join()
        content = os.urandom(1024 * 1024) * (BIG // 2**20)
        self.digest = hashlib.sha256(content).digest()
        for folder in (gateway.server.data, webdav.data):
            (folder / "big.bin").write_bytes(content)
        stop(gateway.running_agent)

    def join(self) -> int:
        """One more agent of the network; its number."""
        number = len(self.configs) + 1
        config = str(self.gateway.folder / f"agent{number}.toml")
        url = f"http://127.0.0.1:{self.gateway.port}"
        token = self.gateway.isthmus("network", "invite", "office", "--url", url)["token"]
        allowed = [word for rule in self.rules for word in ("--allow", rule)]
        self.gateway.agent("join", token, "--config", config, *allowed)
        self.configs.append(config)
        return number

    @contextmanager
    def agent(self, number: int) -> Iterator[Agent]:
        """One of those that joined, connected; killed at the end if it still runs."""
        started = self.gateway.start(*AGENT, "run", "--config", self.configs[number - 1])
        try:
            self.gateway.until(lambda: self.streams(number) is not None)
            yield started
        finally:
            started.kill()
            started.wait()

    def streams(self, number: int) -> int | None:
        """How many connections run through an agent; None when it is away."""
        found = [
            one.streams for one in asyncio.run(self._tunnels()) if one.agent_id == number and one.connected
        ]
        return found[0] if found else None

    async def _tunnels(self) -> Sequence[TunnelView]:
        settings = Settings(data=self.gateway.data)
        operations = Operations(settings.worker_socket, settings.calls_socket)
        try:
            return await operations.tunnels()
        finally:
            await operations.aclose()

    def use(self, service: str) -> None:
        """Whose account the next requests are for."""
        self.gateway.account = self._accounts[service]

    def look(self) -> int:
        """The status of a listing; it leaves a connection for later."""
        return self.gateway.call("GET", "/accounts/me/storage/folders/root/contents")[0]


def stop(agent: Agent) -> float:
    """Seconds from SIGTERM to an end as it should be."""
    began = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0
    return time.monotonic() - began


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("leaves")
    with sshd(folder / "ssh") as server, apache(folder / "dav", extra="KeepAliveTimeout 100") as webdav:
        gateway = Gateway(folder, server)
        gateway.allowed.append(f"127.0.0.1:{webdav.port}")
        try:
            gateway.set_up()
            yield Office(gateway, webdav)
        finally:
            gateway.stop()


@pytest.mark.parametrize("service", SERVICES)
def test_connections_kept_for_later_do_not_hold_an_agents_stop(office: Office, service: str) -> None:
    office.use(service)
    with office.agent(1) as agent:
        assert office.look() == 200
        assert office.streams(1), "the account keeps a connection"
        assert stop(agent) < AT_ONCE


@pytest.mark.parametrize("service", SERVICES)
def test_a_download_ends_whole_and_the_agent_after_it(office: Office, service: str) -> None:
    office.use(service)
    with office.agent(1) as agent, office.gateway.content("big.bin") as answer:
        content = hashlib.sha256(answer.read(1_000_000))
        agent.send_signal(signal.SIGTERM)
        office.gateway.until(lambda: office.look() == 503)  # it takes nothing new, and there is no other
        assert agent.poll() is None
        while piece := answer.read(1_000_000):
            content.update(piece)
        ended = time.monotonic()
        assert content.digest() == office.digest
        assert agent.wait(60) == 0
        assert time.monotonic() - ended < AT_ONCE


@pytest.mark.parametrize("service", SERVICES)
def test_the_next_request_goes_through_another_agent(office: Office, service: str) -> None:
    office.use(service)
    with office.agent(1) as leaving, office.gateway.content("big.bin") as answer, office.agent(2):
        content = hashlib.sha256(answer.read(1_000_000))
        leaving.send_signal(signal.SIGTERM)
        office.gateway.until(lambda: office.look() == 200 and office.streams(2))
        assert leaving.poll() is None
        while piece := answer.read(1_000_000):
            content.update(piece)
        assert content.digest() == office.digest
        assert leaving.wait(AT_ONCE) == 0


@pytest.mark.parametrize("kept", [True, False], ids=["idle", "busy"])
def test_one_connection_does_not_wait_for_another_of_the_account(office: Office, kept: bool) -> None:
    """A download through either agent: the one that leaves does not wait for the one through the other."""
    office.use("webdav")
    with office.agent(1) as leaving, office.gateway.content("big.bin") as first, office.agent(2):
        first.read(1_000_000)
        with office.gateway.content("big.bin") as second:
            second.read(1_000_000)
            assert (office.streams(1), office.streams(2)) == (1, 1)
            if kept:
                first.read()
            leaving.send_signal(signal.SIGTERM)
            if not kept:
                office.gateway.until(lambda: office.look() == 200 and office.streams(2) == 2)
                assert leaving.poll() is None
                first.read()
            assert leaving.wait(AT_ONCE) == 0
            assert len(second.read()) == BIG - 1_000_000


def test_nothing_waits_on_the_connections_of_a_killed_agent(office: Office) -> None:
    office.use("webdav")
    with office.agent(1) as killed:
        assert office.look() == 200
        with office.agent(2):
            killed.kill()
            office.gateway.until(lambda: office.streams(1) is None)
            began = time.monotonic()
            assert office.look() == 200
            assert time.monotonic() - began < AT_ONCE


def test_nor_does_it_when_the_other_agent_comes_afterwards(office: Office) -> None:
    office.use("sftp")
    with office.agent(1):
        assert office.look() == 200
    with office.agent(2):
        began = time.monotonic()
        assert office.look() == 200
        assert time.monotonic() - began < AT_ONCE


def test_a_store_that_the_agent_no_longer_allows_is_left(office: Office) -> None:
    office.use("sftp")
    config = ("--config", office.configs[0])
    with office.agent(1):
        assert office.look() == 200
        office.gateway.agent("allow", *office.rules, "--remove", *config)
        try:
            office.gateway.until(lambda: office.streams(1) == 0, within=AT_ONCE)
            assert office.look() == 502
        finally:
            office.gateway.agent("allow", *office.rules, *config)


def test_after_a_revoked_agent_the_next_request_goes_through_another(office: Office) -> None:
    office.use("sftp")
    last = office.join()
    with office.agent(last) as revoked:
        assert office.look() == 200
        assert office.streams(last)
        with office.agent(1):
            office.gateway.isthmus("agent", "revoke", str(last))
            assert office.look() == 200
            assert revoked.wait(AT_ONCE) == 3
