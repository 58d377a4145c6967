"""Dialling stores from inside: the policy on the address that is dialled, errors without addresses."""

import asyncio
import re
import socket
from collections.abc import Iterator

import pytest

from connect_agent import dial
from connect_agent.dial import DialError, Dialler
from connect_agent.policy import Policy
from connect_agent.protocol import Code


def dialler(*entries: str, timeout: float = 5.0) -> Dialler:
    policy = Policy.parse(entries)
    return Dialler(lambda: policy, timeout)


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """A double of the resolver: what a store's name means is the resolver's word, which may be hostile."""

    async def fake(self: object, host: str, port: int, **_: object) -> list[object]:
        family = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(f, socket.SOCK_STREAM, 6, "", (a, port)) for f, a in zip(family, addresses, strict=True)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", fake)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def refusal(dialler: Dialler, host: str, port: int) -> DialError:
    with pytest.raises(DialError) as caught:
        await dialler.open_socket(host, port)
    assert not re.search(r"\d+\.\d+|::|" + re.escape(host), caught.value.text)
    return caught.value


async def test_an_allowed_address_is_connected(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with await dialler(f"127.0.0.1:{port}").open_socket("127.0.0.1", port) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
        assert not sock.getblocking()


async def test_what_is_not_listed_is_refused(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    assert (await refusal(dialler(f"127.0.0.2:{port}"), "127.0.0.1", port)).code is Code.NOT_ALLOWED
    assert (await refusal(dialler(), "store.corp", port)).code is Code.NOT_ALLOWED


async def test_a_rebound_name_opens_nothing(
    monkeypatch: pytest.MonkeyPatch, listening: socket.socket
) -> None:
    port = listening.getsockname()[1]
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"):
        resolves_to(monkeypatch, address)
        assert (await refusal(dialler(f"store.corp:{port}"), "store.corp", port)).code is Code.NOT_ALLOWED
    listening.settimeout(0.05)
    with pytest.raises(TimeoutError):
        listening.accept()


async def test_the_name_is_resolved_once_for_decision_and_connection(
    monkeypatch: pytest.MonkeyPatch, listening: socket.socket
) -> None:
    """A resolver that answers something else the second time finds nobody asking."""
    port = listening.getsockname()[1]
    asked = 0

    async def turncoat(self: object, host: str, port: int, **_: object) -> list[object]:
        nonlocal asked
        asked += host == "store.corp"
        address = "127.0.0.1" if asked <= 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", turncoat)
    (await dialler(f"127.0.0.1:{port}").open_socket("store.corp", port)).close()
    assert asked == 1


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    resolves_to(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    with await dialler(f"127.0.0.0/8:{port}", f"[::1]:{port}").open_socket("store.corp", port) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_refused_port(closed_port: int) -> None:
    failed = await refusal(dialler(f"127.0.0.1:{closed_port}"), "127.0.0.1", closed_port)
    assert failed.code is Code.CONNECTION_REFUSED


async def test_a_name_that_does_not_resolve() -> None:
    assert (await refusal(dialler("store.invalid:22"), "store.invalid", 22)).code is Code.UNKNOWN_NAME


async def test_a_silent_host_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: object, sock: socket.socket, address: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", silent)
    failed = await refusal(dialler("10.0.0.1:22", timeout=0.05), "10.0.0.1", 22)
    assert failed.code is Code.TIMED_OUT


async def test_a_silent_resolver_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(host: str, port: int) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(dial, "resolve", silent)
    failed = await refusal(dialler("store.corp:22", timeout=0.05), "store.corp", 22)
    assert failed.code is Code.UNKNOWN_NAME


async def test_a_change_of_the_policy_counts_for_the_next_dial(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    current = Policy()
    changing = Dialler(lambda: current, 5.0)
    assert (await refusal(changing, "127.0.0.1", port)).code is Code.NOT_ALLOWED
    current = Policy.parse([f"127.0.0.1:{port}"])
    (await changing.open_socket("127.0.0.1", port)).close()
