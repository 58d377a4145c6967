"""Streams through a real agent process: what arrives, what is refused, and what survives which fault."""

import asyncio
import re
import signal
import time

import pytest

from connectors.interface import NetworkUnavailable, Unavailable
from tests.gateway.tunnel.tunnels import (
    NETWORK,
    Collect,
    Gateway,
    Link,
    MakeAgent,
    echo,
    elapsed,
    send,
    until,
)

MIB = 1024 * 1024


async def round_trip(gateway: Gateway, port: int, size: int, *, pace: float = 0.0) -> None:
    """Sends bytes through the tunnel to the store and checks what comes back."""
    transport, protocol = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", port)
    sent = await send(transport, protocol, size, pace=pace)
    async with asyncio.timeout(60):
        await protocol.ended.wait()
    assert protocol.size == size
    assert protocol.digest.digest() == sent
    transport.close()


async def test_bytes_go_there_and_back(gateway: Gateway, store: int, make_agent: MakeAgent) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    await round_trip(gateway, store, 32 * MIB)
    (tunnel,) = gateway.hub.tunnels()
    assert tunnel["network_id"] == NETWORK
    assert tunnel["policy"] == [f"127.0.0.1:{store}"]
    assert tunnel["bytes_in"] >= 32 * MIB
    assert gateway.seen == [(1, [f"127.0.0.1:{store}"])]
    await until(lambda: gateway.hub.tunnels()[0]["streams"] == 0)


async def test_many_streams_at_once(gateway: Gateway, store: int, make_agent: MakeAgent) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(round_trip(gateway, store, 10_000 * number + 1))


async def test_without_an_agent_the_network_is_named(gateway: Gateway) -> None:
    started = time.monotonic()
    with pytest.raises(NetworkUnavailable, match="office") as caught:
        await gateway.hub.dial(NETWORK, Collect, "10.9.9.9", 22)
    assert elapsed(started) < 1
    assert caught.value.retry_after
    assert "10.9" not in str(caught.value)


async def test_refusals_say_which_without_an_address(gateway: Gateway, make_agent: MakeAgent) -> None:
    async with echo() as gone:
        pass
    await make_agent(f"127.0.0.1:{gone}", "store.invalid:22")
    await until(lambda: gateway.connected() == 1)
    for host, port, says in (
        ("127.0.0.1", gone, "refused the connection"),
        ("store.invalid", 22, "does not resolve"),
        ("127.0.0.1", 22, "allow-list"),
        ("metadata.invalid", 80, "allow-list"),
        ("store.invalid\r\nx", 22, "allow-list"),
    ):
        with pytest.raises(Unavailable, match=says) as caught:
            await gateway.hub.dial(NETWORK, Collect, host, port)
        assert not re.search(r"\d+\.\d+\.|" + re.escape(host), str(caught.value))


async def test_a_running_agent_takes_up_its_allow_list(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    agent = await make_agent()
    await until(lambda: gateway.connected() == 1)
    with pytest.raises(Unavailable, match="allow-list"):
        await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    code, _, errors = await agent.command("allow", f"127.0.0.1:{store}")
    assert code == 0, errors
    await until(lambda: gateway.hub.tunnels()[0]["policy"] == [f"127.0.0.1:{store}"])
    await round_trip(gateway, store, 100)
    assert (await agent.status())["connected"]
    await agent.command("allow", f"127.0.0.1:{store}", "--remove")
    await until(lambda: gateway.hub.tunnels()[0]["policy"] == [])
    with pytest.raises(Unavailable, match="allow-list"):
        await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)


async def test_a_cut_websocket_loses_no_byte(gateway: Gateway, store: int, make_agent: MakeAgent) -> None:
    async with Link(gateway.port).listening() as link:
        await make_agent(f"127.0.0.1:{store}", connect=(f"ws://127.0.0.1:{link.port}/connect",))
        await until(lambda: gateway.connected() == 1)
        async with asyncio.TaskGroup() as tasks:
            transfer = tasks.create_task(round_trip(gateway, store, 32 * MIB, pace=0.01))
            for _ in range(3):
                await asyncio.sleep(0.6)
                link.cut()
            await transfer
        assert gateway.hub.tunnels()[0]["resumes"] >= 2


@pytest.mark.slow
async def test_a_link_that_is_down_for_20_seconds_loses_no_byte(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    async with Link(gateway.port).listening() as link:
        await make_agent(f"127.0.0.1:{store}", connect=(f"ws://127.0.0.1:{link.port}/connect",))
        await until(lambda: gateway.connected() == 1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(round_trip(gateway, store, 32 * MIB, pace=0.01))
            await asyncio.sleep(0.5)
            link.up.clear()
            await until(lambda: gateway.connected() == 0, within=25)
            await asyncio.sleep(3)
            link.up.set()
        assert gateway.hub.tunnels()[0]["resumes"] >= 1


async def test_a_dead_link_is_noticed_by_the_ping_deadline(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await gateway.stop()
    await gateway.start(ping_deadline=1.0)
    async with Link(gateway.port).listening() as link:
        agent = await make_agent(
            f"127.0.0.1:{store}", connect=(f"ws://127.0.0.1:{link.port}/connect",), ping_deadline=1.0
        )
        await until(lambda: gateway.connected() == 1)
        link.up.clear()
        await until(lambda: gateway.connected() == 0, within=4)
        await until(lambda: agent.said("the tunnel broke"), within=4)
        link.up.set()
        await until(lambda: gateway.connected() == 1, within=30)
        await round_trip(gateway, store, 1000)


async def test_a_dial_waits_for_an_agent_that_just_lost_its_websocket(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    async with Link(gateway.port).listening() as link:
        await make_agent(f"127.0.0.1:{store}", connect=(f"ws://127.0.0.1:{link.port}/connect",))
        await until(lambda: gateway.connected() == 1)
        link.cut()
        await until(lambda: gateway.connected() == 0)
        await round_trip(gateway, store, 1000)


async def test_a_killed_agent_breaks_its_streams_when_it_is_back(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    agent = await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    transport, protocol = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    transport.write(b"x")
    await until(lambda: protocol.size == 1)
    await agent.kill()
    await until(lambda: gateway.connected() == 0)
    assert not protocol.lost.done()
    await agent.start()
    async with asyncio.timeout(10):
        assert isinstance(await protocol.lost, ConnectionError)
    await round_trip(gateway, store, 1000)
    assert len(gateway.hub.tunnels()) == 1


async def test_a_killed_agent_that_stays_away_ends_after_the_linger(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await gateway.stop()
    await gateway.start(linger=1.0, await_return=0.2)
    agent = await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    _, protocol = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    await agent.kill()
    with pytest.raises(NetworkUnavailable):
        await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    async with asyncio.timeout(3):
        assert isinstance(await protocol.lost, ConnectionError)
    assert gateway.hub.tunnels() == []


async def test_revoking_cuts_streams_and_stops_the_agent(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    agent = await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    _, protocol = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    del gateway.agents[1]
    await gateway.hub.drop_agent(1)
    async with asyncio.timeout(1):
        assert isinstance(await protocol.lost, ConnectionError)
    assert await agent.exit_status() == 3
    assert agent.said("revoked")
    assert "revoked" in (await agent.status())["note"]


async def test_an_agent_that_is_revoked_as_it_comes_does_not_stay(
    gateway: Gateway, make_agent: MakeAgent
) -> None:
    agent = await make_agent(start=False)

    async def network_of(number: int) -> int | None:
        return NETWORK if number in gateway.agents else None

    async def saw(number: int, policy: list[str]) -> None:
        del gateway.agents[number]  # it has proved itself before, and is no member yet
        await gateway.hub.drop_agent(number)

    gateway.hub._network_of, gateway.hub._on_seen = network_of, saw
    await agent.start()
    assert await agent.exit_status() == 3
    assert gateway.hub.tunnels() == []


async def test_an_unknown_agent_is_turned_away_and_stops(gateway: Gateway, make_agent: MakeAgent) -> None:
    agent = await make_agent(start=False)
    del gateway.agents[1]
    await agent.start()
    assert await agent.exit_status() == 3
    assert gateway.seen == []
    assert gateway.hub.tunnels() == []


async def test_a_wrong_hub_is_refused_and_tried_again(gateway: Gateway, make_agent: MakeAgent) -> None:
    agent = await make_agent(hub_public_key="A" * 43)
    await until(lambda: agent.said("another key"))
    assert agent.process is not None
    assert agent.process.returncode is None
    assert gateway.hub.tunnels() == []


async def test_a_restarted_hub_gets_its_agents_back(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    await gateway.hub.drain()
    await gateway.stop()
    await gateway.start()
    await until(lambda: gateway.connected() == 1)
    await round_trip(gateway, store, 1000)


async def until_refused(gateway: Gateway, store: int) -> None:
    """The agent takes no new stream: its word for that may still be on its way."""
    async with asyncio.timeout(10):
        while True:
            try:
                transport, _ = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
            except NetworkUnavailable:
                return
            transport.abort()


async def test_sigterm_lets_streams_finish(gateway: Gateway, store: int, make_agent: MakeAgent) -> None:
    agent = await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    transport, protocol = await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    transport.write(b"first")
    await until(lambda: protocol.size == 5)
    assert agent.process is not None
    agent.process.send_signal(signal.SIGTERM)
    await until(lambda: agent.said("may finish"))
    await until_refused(gateway, store)
    transport.write(b"second")
    await until(lambda: protocol.size == 11)
    transport.write_eof()
    async with asyncio.timeout(5):
        await protocol.ended.wait()
    assert await agent.exit_status() == 0
    await until(lambda: gateway.hub.tunnels() == [])


async def test_streams_go_to_the_least_loaded_agent(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 2)
    for _ in range(6):
        await gateway.hub.dial(NETWORK, Collect, "127.0.0.1", store)
    assert [tunnel["streams"] for tunnel in gateway.hub.tunnels()] == [3, 3]


async def test_an_agent_whose_list_says_no_leaves_it_to_another(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await make_agent()
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 2)
    await round_trip(gateway, store, 1000)


async def test_one_hub_under_two_addresses_gets_one_tunnel(gateway: Gateway, make_agent: MakeAgent) -> None:
    urls = tuple(f"ws://{host}:{gateway.port}/connect" for host in ("127.0.0.1", "localhost"))
    agent = await make_agent(connect=urls)
    await until(lambda: agent.said("another tunnel of ours"))
    await until(lambda: gateway.connected() == 1)
