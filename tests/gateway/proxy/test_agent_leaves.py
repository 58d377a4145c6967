"""An agent is stopped while programs have connections through it, by the proxy: idle ones, and busy ones."""

import hashlib
import http.client
import os
import signal
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from tests.gateway.proxy.agents import Agent, join, running, until_connected
from tests.gateway.proxy.conftest import HTTP2_STORE
from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import basic
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.private_network import PrivateNetwork, private_network

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.netns]
AT_ONCE = 10.0  # seconds: an agent gives the streams that nobody ends 30
BIG = os.urandom(1024 * 1024) * 64
KEEPS = "KeepAliveTimeout 100"


@dataclass
class Program:
    """A client of the proxy, and how it names what it wants."""

    kept: http.client.HTTPConnection
    root: str
    fields: dict[str, str]

    def get(self, name: str) -> http.client.HTTPResponse:
        """The answer, of which no more than the head was read."""
        self.kept.request("GET", f"{self.root}{name}", headers=self.fields)
        return self.kept.getresponse()

    def small(self) -> int:
        """The status of a small request."""
        answer = self.get("small")
        answer.read()
        return answer.status


@dataclass
class Office:
    """A gateway, and a store with an account on it in a network whose agent joined."""

    proxied: Proxied
    network: PrivateNetwork
    store: Apache
    account: Account
    config: Sequence[str]

    @contextmanager
    def program(self) -> Iterator[Program]:
        """A program that keeps its connection, for one request after the other."""
        said = {"Proxy-Authorization": f"Basic {basic(self.account)}"}
        kept: http.client.HTTPConnection
        if self.store.ca is None:
            kept = http.client.HTTPConnection("127.0.0.1", self.proxied.proxy_port, timeout=60)
            program = Program(kept, self.store.url, said)
        else:
            context = ssl.create_default_context(cafile=str(self.proxied.ca))
            place = "127.0.0.1", self.proxied.proxy_port
            kept = http.client.HTTPSConnection(*place, timeout=60, context=context)
            kept.set_tunnel("localhost", self.store.port, said)
            program = Program(kept, "/", {})
        try:
            yield program
        finally:
            kept.close()

    def agent(self) -> AbstractContextManager[Agent]:
        return running(self.proxied, self.network, self.config)


@pytest.fixture(
    scope="module",
    params=[(False, ""), (True, ""), (True, HTTP2_STORE)],
    ids=["plain", "http/1.1", "http/2"],
)
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder, (tls, version) = tmp_path_factory.mktemp("office"), request.param
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    with (
        private_network() as network,
        apache(folder / "store", tls=tls, network=network, extra=f"{KEEPS}\n{version}") as store,
    ):
        (store.data / "small").write_text("small")
        (store.data / "big").write_bytes(BIG)
        trusted = {} if store.ca is None else {"ca": store.ca}
        proxied.set_up()
        with proxied.serving():
            config = join(proxied, network, store.port)
            with running(proxied, network, config):
                account = proxied.add(
                    *("webdav", "--network", "office"),
                    url=store.url,
                    username=USER,
                    password=PASSWORD,
                    **trusted,
                )
            yield Office(proxied, network, store, account, config)


def stop(agent: Agent) -> float:
    """Seconds from SIGTERM to an end as it should be."""
    began = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0
    return time.monotonic() - began


def test_an_idle_connection_does_not_hold_its_stop(office: Office) -> None:
    with office.program() as program:
        with office.agent() as agent:
            assert program.small() == 200
            assert stop(agent) < AT_ONCE
        until_connected(office.proxied, there=False)
        with office.agent():
            assert program.small() == 200, "the program's own connection has lived on"


def test_a_download_ends_whole_and_the_agent_after_it(office: Office) -> None:
    with office.program() as program, office.agent() as agent:
        answer = program.get("big")
        content = hashlib.sha256(answer.read(1_000_000))
        agent.send_signal(signal.SIGTERM)
        with office.program() as another:
            while another.small() == 200:  # it takes nothing new, and there is no other
                time.sleep(0.05)
        assert agent.poll() is None
        while piece := answer.read(1_000_000):
            content.update(piece)
        ended = time.monotonic()
        assert content.digest() == hashlib.sha256(BIG).digest()
        assert agent.wait(60) == 0
        assert time.monotonic() - ended < AT_ONCE
