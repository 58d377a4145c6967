"""The page about the MCP server names every tool."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from gateway.mcp.server import Files

if TYPE_CHECKING:
    from gateway.mcp.client import Gateway

PAGE = (Path(__file__).parents[3] / "docs" / "mcp.md").read_text()


@pytest.mark.parametrize("write", [False, True])
async def test_every_tool_is_described(write: bool) -> None:
    server = Files(cast("Gateway", None), write=write)  # nothing is called
    tools = await server.list_tools()
    assert tools
    for tool in tools:
        assert f"`{tool.name}`" in PAGE
        assert tool.description
        assert "$ref" not in str(tool.input_schema)  # clients that know no references can use it
