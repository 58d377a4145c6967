"""A gateway, a store and agents for these tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from connect_agent.identity import Identity, to_base64
from connect_agent.settings import Settings
from tests.gateway.tunnel.tunnels import AgentProcess, Gateway, MakeAgent, echo


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop too for tests that name it: `pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])`."""
    mark = item.get_closest_marker("asyncio")
    named = mark is not None and "loop_factories" in mark.kwargs
    return {"asyncio": asyncio.new_event_loop, **({"uvloop": uvloop.new_event_loop} if named else {})}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def store() -> AsyncIterator[int]:
    async with echo() as port:
        yield port


@pytest.fixture
async def make_agent(gateway: Gateway, tmp_path: Path) -> AsyncIterator[MakeAgent]:
    """Writes an agent's files as `join` would, and starts it unless told not to."""
    made: list[AgentProcess] = []

    async def make(*allow: str, agent_id: int = 0, start: bool = True, **changes: Any) -> AgentProcess:
        agent_id = agent_id or len(made) + 1
        folder = tmp_path / f"agent{agent_id}"
        identity = Identity.create()
        identity.save(folder / "agent.key")
        gateway.agents.setdefault(agent_id, identity.public_key)
        values: dict[str, Any] = {
            "gateway": f"http://127.0.0.1:{gateway.port}",
            "connect": (f"ws://127.0.0.1:{gateway.port}/connect",),
            "agent_id": agent_id,
            "network": "office",
            "hub_public_key": to_base64(gateway.key.public_key().public_bytes_raw()),
            "allow": allow,
            "backoff_cap": 1.0,
        }
        Settings(path=folder / "agent.toml", **{**values, **changes}).save()
        agent = AgentProcess(folder / "agent.toml")
        made.append(agent)
        if start:
            await agent.start()
        return agent

    yield make
    for agent in made:
        if agent.process is not None:
            await agent.kill()
