"""AI agents as they are run: the MCP SDK's own client, and `isthmus mcp` as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
)

from tests.servers.sshd import free_port, wait_for_port

ISTHMUS = (sys.executable, "-c", "from gateway.cli.entry import main; main()")


@asynccontextmanager
async def over_stdio(
    url: str, *words: str, command: Sequence[str] = ISTHMUS, **environment: str
) -> AsyncIterator[Client]:
    """The client of a server that it starts itself."""
    server = StdioServerParameters(
        command=command[0],
        args=[*command[1:], "mcp", "--url", url, *words],
        env=environment,
    )
    async with Client(server, read_timeout_seconds=60) as client:
        yield client


@contextmanager
def served(url: str, token_file: Path, *words: str, **environment: str) -> Iterator[str]:
    """The URL of a server on streamable HTTP."""
    port = free_port()
    log = (token_file.parent / f"mcp-{port}.log").open("wb")
    server = subprocess.Popen(
        (
            *(*ISTHMUS, "mcp", "--url", url, *words),
            *("--http", str(port), "--http-token-file", str(token_file)),
        ),
        stdout=log,
        stderr=log,
        env={**os.environ, **environment},  # noqa: TID251  the server's own
        start_new_session=True,
    )
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/mcp"
        assert server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
            log.close()


@asynccontextmanager
async def over_http(url: str, token: str, headers: Mapping[str, str] = {}) -> AsyncIterator[Client]:
    """The client of a server that runs already."""
    shown = {"Authorization": f"Bearer {token}", **headers}
    async with (
        httpx2.AsyncClient(headers=shown, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), read_timeout_seconds=60) as client,
    ):
        yield client


async def ask(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool gives, which must be no error."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, words(result)
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says that fails."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    return words(result)


def words(result: CallToolResult) -> str:
    """What the server itself says in an answer."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def content(result: CallToolResult) -> TextResourceContents | BlobResourceContents:
    """The file's content in an answer of read_file."""
    (block,) = [block for block in result.content if isinstance(block, EmbeddedResource)]
    return block.resource
