"""What programs of Node.js are told beside the proxy's address: to load the module that leads them to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

MODULE: Final = Path(__file__).with_name("node_proxy.cjs")
"""Loaded before the program, in its worker threads and the programs of Node's that it starts, too."""


def environment(given: Mapping[str, str], module: Path = MODULE) -> dict[str, str]:
    """What is given, with the module in `NODE_OPTIONS`, before the options that were in there.

    Node's documentation, "NODE_OPTIONS": a value with spaces is quoted, and a backslash escapes in quotes.
    """
    quoted = str(module).replace("\\", "\\\\").replace('"', '\\"')
    options = f'--require="{quoted}" {given.get("NODE_OPTIONS", "")}'.rstrip()
    return {**given, "NODE_OPTIONS": options, "NODE_USE_ENV_PROXY": "1"}
