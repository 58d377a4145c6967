"""An AI agent reads and writes files of a store that only an agent of ours reaches."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.journeys.agents import ask, content, over_stdio, refused
from tests.journeys.product import Gateway
from tests.servers.sshd import sshd

pytestmark = [pytest.mark.journey, pytest.mark.server]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("mcp-private")
    with sshd(folder / "ssh") as server:
        made = Gateway(folder, server)
        try:
            made.set_up()
            yield made
        finally:
            made.stop()


async def test_files_of_a_private_network(gateway: Gateway) -> None:
    (gateway.server.data / "inside").mkdir()
    (gateway.server.data / "inside/note.txt").write_text("from behind the firewall")
    url = f"http://127.0.0.1:{gateway.port}"
    async with over_stdio(url, "--write", ISTHMUS_TOKEN=gateway.account["access_token"]) as client:
        found = await ask(client, "search", query="note")
        (file,) = found["entries"]
        piece = content(await client.call_tool("read_file", {"file": file["id"], "offset": 5, "length": 6}))
        assert getattr(piece, "text", None) == "behind"
        await ask(client, "write_file", parent="/inside", name="answer.txt", text="from the agent")
        assert (gateway.server.data / "inside/answer.txt").read_text() == "from the agent"
        (office,) = gateway.isthmus("network", "status")["networks"]
        gateway.isthmus("agent", "revoke", str(office["agents"][0]["id"]))
        async with asyncio.timeout(20):
            while "503 network_unavailable" not in (said := await refused(client, "stat", entry="/inside")):
                assert "127.0.0.1" not in said
    assert "office" in said
    assert "127.0.0.1" not in said
