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
class Office:
    """A gateway, and a store with an account on it in a network whose agent joined."""

    proxied: Proxied
    network: PrivateNetwork
    store: Apache
    account: Account
    config: Sequence[str]

    @contextmanager
    def program(self) -> Iterator[http.client.HTTPSConnection]:
        """A program that keeps its connection to the store's host, for one request after the other."""
        context = ssl.create_default_context(cafile=str(self.proxied.ca))
        kept = http.client.HTTPSConnection("127.0.0.1", self.proxied.proxy_port, timeout=60, context=context)
        said = {"Proxy-Authorization": f"Basic {basic(self.account)}"}
        kept.set_tunnel("localhost", self.store.port, said)
        try:
            yield kept
        finally:
            kept.close()

    def agent(self) -> AbstractContextManager[Agent]:
        return running(self.proxied, self.network, self.config)


@pytest.fixture(scope="module", params=["", HTTP2_STORE], ids=["http/1.1", "http/2"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    proxied = Proxied(folder, host="0.0.0.0", settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    with (
        private_network() as network,
        apache(folder / "store", tls=True, network=network, extra=f"{KEEPS}\n{request.param}") as store,
    ):
        (store.data / "small").write_text("small")
        (store.data / "big").write_bytes(BIG)
        (folder / "ca.pem").write_text(store.ca or "")
        proxied.set_up()
        with proxied.serving():
            config = join(proxied, network, store.port)
            with running(proxied, network, config):
                account = proxied.add(
                    *("webdav", "--network", "office"),
                    url=store.url,
                    username=USER,
                    password=PASSWORD,
                    ca=f"@{folder / 'ca.pem'}",
                )
            yield Office(proxied, network, store, account, config)


def stop(agent: Agent) -> float:
    """Seconds from SIGTERM to an end as it should be."""
    began = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0
    return time.monotonic() - began


def small(program: http.client.HTTPSConnection) -> int:
    """The status of a small request."""
    program.request("GET", "/small")
    answer = program.getresponse()
    answer.read()
    return answer.status


def test_an_idle_connection_does_not_hold_its_stop(office: Office) -> None:
    with office.program() as program:
        with office.agent() as agent:
            assert small(program) == 200
            assert stop(agent) < AT_ONCE
        until_connected(office.proxied, there=False)
        with office.agent():
            assert small(program) == 200, "the program's own connection has lived on"


def test_a_download_ends_whole_and_the_agent_after_it(office: Office) -> None:
    with office.program() as program, office.agent() as agent:
        program.request("GET", "/big")
        answer = program.getresponse()
        content = hashlib.sha256(answer.read(1_000_000))
        agent.send_signal(signal.SIGTERM)
        with office.program() as another:
            while small(another) == 200:  # it takes nothing new, and there is no other
                time.sleep(0.05)
        assert agent.poll() is None
        while piece := answer.read(1_000_000):
            content.update(piece)
        ended = time.monotonic()
        assert content.digest() == hashlib.sha256(BIG).digest()
        assert agent.wait(60) == 0
        assert time.monotonic() - ended < AT_ONCE
