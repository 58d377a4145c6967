"""What the tests share in which somebody leaves in the middle of a verb."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from connectors.conformance.kit import FullConnector, joined, names, pieces, put, whole
from connectors.http1.connection import Connection
from connectors.interface import Connector, Content, Kind, NotFound, Part, Upload
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


# stores that are asked by HTTP


async def _in_parts(connector: Connector) -> None:
    """One that is left in the middle is abandoned, as callers do that know of it."""
    store = cast("FullConnector", connector)
    upload = await store.begin_upload("", "new", size=len(CONTENT), replace=False)
    try:
        tag = await store.write_part(upload.state, 1, pieces(CONTENT), size=len(CONTENT))
        await store.complete_upload(upload.state, [Part(1, len(CONTENT), tag)])
    except asyncio.CancelledError:
        await store.abandon_upload(upload.state)
        raise


REQUESTING: dict[str, Verb] = VERBS | {
    "write, length unknown": lambda store: put(store, "", "new", CONTENT, size=None),
    "replace": lambda store: put(store, "", "file", CONTENT, replace=True),
    "copy of a folder": lambda store: cast("FullConnector", store).copy(_folder(store), "", "copies"),
    "move": lambda store: cast("FullConnector", store).move("file", "", "new"),
    "list": lambda store: store.list("", None, 10),
    "in parts": _in_parts,
}
"""Verbs on a store that has the folder "tree" too, with the file "file" in it."""

type Moment = Literal["sent", "answered"]
MOMENTS: tuple[Moment, ...] = ("sent", "answered")
"""Right after a request was sent, and in the turn of the event loop in which the head of its answer comes."""

PARTS = {"upload", "in parts"}
"""Those of stores that take files in parts."""


async def leave_at_every_moment(
    opened: Callable[[], AbstractAsyncContextManager[Connector]],
    verb: Verb,
    client: Callable[[Any], Any],
    left: Callable[[], Awaitable[object]],
) -> None:
    """Begins the verb again and again, and leaves it one step later each time, until it comes to its end.

    A step is a request that was sent, or one whose answer came: a task that is cancelled in that very turn
    of the event loop never sees the answer. Each time nothing is `left` on the store, and the account works.

    Args:
        opened: an open account, whose root is empty each time.
        verb: what is left.
        client: the account's `http1.Client`.
        left: what nobody but the connector knows of, on the whole store; falsy for nothing.
    """
    await left()  # which may open something of its own
    handles = len(os.listdir("/proc/self/fd"))
    for when in MOMENTS:
        for number in itertools.count(1):
            async with opened() as store:
                await put(store, "", "file", CONTENT)
                tree = await cast("FullConnector", store).mkdir("", "tree")
                await put(store, tree.raw_id, "file", CONTENT)
                places = client(store)._places._value
                came_to_it = await leave(store, verb, when, number)
                async with asyncio.timeout(10):
                    while client(store)._busy or await left():
                        await asyncio.sleep(0.01)
                assert client(store)._places._value == places
                await _whole(store)
            if not came_to_it:
                break
    async with asyncio.timeout(10):
        while len(os.listdir("/proc/self/fd")) > handles:
            await asyncio.sleep(0.01)


async def leave(store: Connector, verb: Verb, when: Moment, number: int) -> bool:
    """Begins the verb and leaves it at its step of that number, see `leave_at_every_moment`.

    Returns whether the verb came so far; what it made if not is taken back.
    """
    send, received, seen = Connection.send, Connection.data_received, 0

    def step() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            task.cancel()

    async def sent(connection: Connection, *request: Any) -> None:
        asyncio.get_running_loop().call_soon(step)
        await send(connection, *request)

    def answered(connection: Connection, data: bytes) -> None:
        before = connection.head
        received(connection, data)
        if before is None and connection.head is not None:
            step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, *(("send", sent) if when == "sent" else ("data_received", answered)))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(verb(store))
    await let_go(store, task)
    return seen >= number


async def _whole(store: Connector) -> None:
    """Each file that has its name is whole, also while a request that was on its way is done."""
    async with asyncio.timeout(10):
        while True:
            with suppress(NotFound):  # it was moved between the look and the reading
                await _whole_now(store)
                return


async def _whole_now(store: Connector) -> None:
    there = set(await names(store, ""))
    assert there <= {"file", "new", "tree", "copies"}
    assert there & {"file", "new"}
    found: list[str] = [name for name in ("file", "new") if name in there]
    for folder in there & {"tree", "copies"}:
        above = type(store).normal_id(folder, Kind.FOLDER)
        found += [joined(above, name) for name in await names(store, above)]
    for raw_id in found:
        assert await whole(store, raw_id) == CONTENT


def _folder(store: Connector) -> str:
    return type(store).normal_id("tree", Kind.FOLDER)
