"""What the tests share in which somebody leaves in the middle of a verb."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from connectors.conformance.kit import FullConnector, put
from connectors.interface import Connector, Content, Upload
from connectors.interface.paths import TEMPORARY

CONTENT = b"x" * 2_000_000

type Verb = Callable[[Connector], Coroutine[Any, Any, object]]

VERBS: dict[str, Verb] = {
    "read": lambda store: store.read("file"),
    "write": lambda store: put(store, "", "new", CONTENT),
    "copy": lambda store: cast("FullConnector", store).copy("file", "", "new"),
    "upload": lambda store: cast("FullConnector", store).begin_upload("", "new", size=None, replace=False),
}
"""Verbs that open files, on a store with the one file "file"."""


async def let_go(store: Connector, task: asyncio.Task[object]) -> None:
    """Takes back what the verb made when it was at its end before it could be cancelled."""
    made = None if task.cancelled() else task.result()
    if isinstance(made, Content):
        await made.chunks.aclose()
    elif isinstance(made, Upload):
        await cast("FullConnector", store).abandon_upload(made.state)


async def nothing_left(folder: Path, opened: Callable[[], list[str]]) -> None:
    """Returns when nothing is open, and no hidden file left; a file that has its name by now is whole."""
    async with asyncio.timeout(10):
        while opened() or any(name.startswith(TEMPORARY) for name in os.listdir(folder)):
            await asyncio.sleep(0.01)
    new = folder / "new"
    if new.exists():
        assert new.read_bytes() == CONTENT
        new.unlink()
