"""Who has connections through an agent hears that it leaves: from the hub, with real agents."""

import signal

from connect_agent.settings import Settings
from gateway.tunnel import NetworkDialer
from tests.gateway.tunnel.tunnels import NETWORK, AgentProcess, Collect, Gateway, Link, MakeAgent, until


class Told:
    """A dialer, and how often it was told that an agent of its connections leaves."""

    def __init__(self, gateway: Gateway) -> None:
        self.times = 0
        self.dialer = NetworkDialer(gateway.hub, NETWORK, on_leave=self.leave)

    def leave(self) -> None:
        self.times += 1


def stop(agent: AgentProcess) -> None:
    assert agent.process is not None
    agent.process.send_signal(signal.SIGTERM)


def allow(agent: AgentProcess, *rules: str) -> None:
    settings = Settings.load(agent.config)
    Settings(**{**{name: getattr(settings, name) for name in settings.__slots__}, "allow": rules}).save()


async def test_a_stopping_agent_is_told_once_to_those_who_go_through_it(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    first = await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    through, beside = Told(gateway), Told(gateway)
    transport, protocol = await through.dialer.connect(Collect, "127.0.0.1", store)
    await through.dialer.connect(Collect, "127.0.0.1", store)
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 2)
    await beside.dialer.connect(Collect, "127.0.0.1", store)  # the second has less to do
    stop(first)
    await until(lambda: through.times == 1)
    transport.write(b"what runs goes on")
    await until(lambda: protocol.size == 17)
    await first.kill()
    await until(lambda: gateway.connected() == 1)
    assert (through.times, beside.times) == (1, 0)


async def test_an_agent_that_lost_its_way_is_waited_for_unless_there_is_another(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    async with Link(gateway.port).listening() as link:
        url = f"ws://127.0.0.1:{link.port}/connect"
        await make_agent(f"127.0.0.1:{store}", connect=(url,))
        await until(lambda: gateway.connected() == 1)
        told = Told(gateway)
        await told.dialer.connect(Collect, "127.0.0.1", store)
        link.cut()
        await until(lambda: gateway.hub.tunnels()[0]["resumes"] == 1)
        assert told.times == 0
        await make_agent(f"127.0.0.1:{store}")
        await until(lambda: gateway.connected() == 2)
        link.cut()
        await until(lambda: told.times == 1)


async def test_of_a_dropped_agent_is_told_before_its_streams_break(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    await make_agent(f"127.0.0.1:{store}")
    await until(lambda: gateway.connected() == 1)
    happened: list[str] = []
    dialer = NetworkDialer(gateway.hub, NETWORK, on_leave=lambda: happened.append("told"))
    _, protocol = await dialer.connect(Collect, "127.0.0.1", store)
    protocol.lost.add_done_callback(lambda _: happened.append("broken"))
    await gateway.hub.drop_agent(1)
    await until(lambda: "broken" in happened)
    assert happened == ["told", "broken"]


async def test_an_allow_list_that_lost_an_entry_is_told_and_one_that_grew_is_not(
    gateway: Gateway, store: int, make_agent: MakeAgent
) -> None:
    agent = await make_agent(f"127.0.0.1:{store}", "127.0.0.1:9")
    await until(lambda: gateway.connected() == 1)
    told = Told(gateway)
    await told.dialer.connect(Collect, "127.0.0.1", store)
    allow(agent, f"127.0.0.1:{store}", "127.0.0.1:9", "127.0.0.1:10")
    await until(lambda: len(gateway.hub.tunnels()[0]["policy"]) == 3)
    assert told.times == 0
    allow(agent, "127.0.0.1:9")
    await until(lambda: len(gateway.hub.tunnels()[0]["policy"]) == 1)
    assert told.times == 1
