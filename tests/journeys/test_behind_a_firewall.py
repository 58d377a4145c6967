"""A gateway outside, an agent inside a network that lets nothing in: the link goes down, and comes back."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator

import pytest

from tests.journeys.product import Gateway
from tests.servers.private_network import PrivateNetwork, private_network
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server, pytest.mark.netns, pytest.mark.slow]
SIZE = 192 * 1024 * 1024


@pytest.fixture(scope="module")
def network() -> Iterator[PrivateNetwork]:
    with private_network() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, network: PrivateNetwork) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("firewall")
    with sshd(folder / "ssh", network) as server:
        made = Gateway(folder, server, network)
        try:
            made.set_up()
            (server.data / "big.bin").write_bytes(os.urandom(1024 * 1024) * (SIZE // 2**20))
            yield made
        finally:
            made.stop()


def test_nothing_gets_in_but_through_the_agent(gateway: Gateway, network: PrivateNetwork) -> None:
    with pytest.raises(OSError, match="timed out"):
        socket.create_connection((network.within, gateway.server.port), 2)
    assert gateway.upload("in.txt", b"through the tunnel")[0] == 201
    assert (gateway.server.data / "in.txt").read_bytes() == b"through the tunnel"


def test_a_link_that_is_down_for_twenty_seconds_costs_no_byte(
    gateway: Gateway, network: PrivateNetwork
) -> None:
    expected = hashlib.sha256((gateway.server.data / "big.bin").read_bytes())
    found = hashlib.sha256()
    with gateway.content("big.bin") as answer:
        found.update(answer.read(1_000_000))
        network.set_link("down")
        time.sleep(20)  # the fault itself
        network.set_link("up")
        while piece := answer.read(1_000_000):
            found.update(piece)
    assert found.digest() == expected.digest()
    gateway.until(gateway.connected, within=30)


def test_a_link_that_stays_down_is_noticed(gateway: Gateway, network: PrivateNetwork) -> None:
    network.set_link("down")
    try:
        gateway.until(lambda: not gateway.connected(), within=40)
    finally:
        network.set_link("up")
    gateway.until(gateway.connected, within=60)
    assert gateway.upload("back.txt", b"again")[0] == 201
