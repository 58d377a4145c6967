"""Questions and answers between real sockets; what the operations do is a double."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.interface import NotFound, StoreError, Throttled
from gateway import telemetry
from gateway.operations import WorkerUnavailable
from gateway.operations.calls import Calls
from gateway.operations.frames import Frame, Frames, Kind
from gateway.worker import calls
from gateway.worker.audit.trail import Trail
from gateway.worker.catalogue import LONG, OPERATIONS, UPLOADS

type Does = Callable[..., Coroutine[Any, Any, Any]]


class Desk:
    """A double of the desk: operations here have no account, and so no audit and no events."""

    def __init__(self) -> None:
        nobody: Any = None
        self.trail = Trail(nobody)


@asynccontextmanager
async def worker(place: Path) -> AsyncIterator[calls.Calls]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    desk: Any = Desk()
    made = calls.Calls(desk)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(made.serve(listening))
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            serving.cancel()


@asynccontextmanager
async def asker(place: Path) -> AsyncIterator[Calls]:
    made = Calls(place)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_answers_come_to_who_asked_in_any_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(_: Any, arguments: dict[str, Any]) -> Any:
        await asyncio.sleep((arguments["number"] * 7 % 5) / 100)
        return {"number": arguments["number"], "filler": "x" * (arguments["number"] * 1000)}

    monkeypatch.setitem(OPERATIONS, "/slow", slow)

    async def ask(there: Calls, number: int) -> None:
        found = await there.ask("slow", {"number": number})
        assert (found["number"], len(found["filler"])) == (number, number * 1000)

    async with worker(place), asker(place) as there, asyncio.TaskGroup() as asking:
        for number in range(200):
            asking.create_task(ask(there, number))


async def test_a_body_goes_with_its_question(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def length(_: Any, arguments: dict[str, Any], body: AsyncIterator[bytes]) -> Any:
        return [arguments, len(b"".join([piece async for piece in body]))]

    monkeypatch.setitem(UPLOADS, "/length", length)
    async with worker(place), asker(place) as there:
        assert await there.ask("length", {"a": "ü"}, b"x" * 300_000) == [{"a": "ü"}, 300_000]


async def test_the_request_is_named_in_the_workers_log(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def named(_: Any, __: dict[str, Any]) -> Any:
        return telemetry.request_id.get()

    monkeypatch.setitem(OPERATIONS, "/named", named)
    async with worker(place), asker(place) as there:
        telemetry.request_id.set("r-1")
        assert await there.ask("named", {}) == "r-1"
        telemetry.request_id.set(None)
        assert await there.ask("named", {}) is None


async def test_errors_come_as_what_they_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Any, arguments: dict[str, Any]) -> Any:
        if arguments["how"] == "store":
            raise Throttled("later", retry_after=7.0)
        raise RuntimeError("inner words")

    monkeypatch.setitem(OPERATIONS, "/fails", fails)
    async with worker(place), asker(place) as there:
        with pytest.raises(Throttled) as throttled:
            await there.ask("fails", {"how": "store"})
        assert (throttled.value.message, throttled.value.retry_after) == ("later", 7.0)
        with pytest.raises(WorkerUnavailable, match="its log has the reason"):
            await there.ask("fails", {"how": "otherwise"})
        with pytest.raises(StoreError, match="no operation nothing"):
            await there.ask("nothing", {})


async def test_of_several_errors_at_once_the_first_comes(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        async def one() -> None:
            raise NotFound("gone")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one())

    monkeypatch.setitem(LONG, "/long", fails)
    monkeypatch.setitem(OPERATIONS, "/short", fails)
    async with worker(place), asker(place) as there:
        for operation in ("long", "short"):
            with pytest.raises(NotFound, match="gone"):
                await there.ask(operation, {})


async def test_who_leaves_ends_what_is_long_and_nothing_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Queue[str](), asyncio.Queue[str]()

    def takes(name: str) -> Does:
        async def work(*_: Any) -> Any:
            begun.put_nowait(name)
            try:
                await asyncio.sleep(0.3 if name == "short" else 60)
                ended.put_nowait(f"{name} done")
            except asyncio.CancelledError:
                ended.put_nowait(f"{name} cancelled")
                raise

        return work

    monkeypatch.setitem(OPERATIONS, "/short", takes("short"))
    monkeypatch.setitem(LONG, "/long", takes("long"))
    async with worker(place) as behind, asker(place) as there, asyncio.TaskGroup() as asking:
        for name in ("long", "short"):
            one = asking.create_task(there.ask(name, {}))
            assert await begun.get() == name
            one.cancel()
        assert [await ended.get(), await ended.get()] == ["long cancelled", "short done"]
        async with asker(place) as another:
            one = asking.create_task(_swallowed(another.ask("long", {})))
            await begun.get()
        assert await ended.get() == "long cancelled", "its connection has ended"
        async with asyncio.timeout(5):
            await behind.drain(5)


async def test_a_worker_that_goes_away_fails_what_waits_and_the_next_one_answers(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def waits(_: Any, arguments: dict[str, Any]) -> Any:
        begun.set()
        await asyncio.sleep(arguments["seconds"])
        return "answered"

    monkeypatch.setitem(OPERATIONS, "/waits", waits)
    async with asker(place) as there:
        with pytest.raises(WorkerUnavailable, match="no worker"):
            await there.ask("waits", {"seconds": 0})
        async with asyncio.TaskGroup() as asking, worker(place):
            one = asking.create_task(_swallowed(there.ask("waits", {"seconds": 60})))
            await begun.wait()
        assert isinstance(await one, WorkerUnavailable)
        place.unlink()
        async with worker(place):
            assert await there.ask("waits", {"seconds": 0}) == "answered"


async def test_draining_waits_for_what_runs_and_no_longer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def waits(*_: Any) -> Any:
        begun.set()
        await go_on.wait()
        return "done"

    monkeypatch.setitem(OPERATIONS, "/waits", waits)
    async with worker(place) as behind, asker(place) as there, asyncio.TaskGroup() as asking:
        one = asking.create_task(there.ask("waits", {}))
        await begun.wait()
        await behind.drain(0.05)
        assert not one.done()
        go_on.set()
        await behind.drain(10)
        assert await one == "done"


async def test_a_question_that_is_too_long_ends_its_connection_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fine(*_: Any) -> Any:
        return "fine"

    monkeypatch.setitem(OPERATIONS, "/fine", fine)
    async with worker(place), asker(place) as there, asker(place) as other:
        assert await other.ask("fine", {}) == "fine"
        with pytest.raises(WorkerUnavailable):
            await there.ask("fine", {}, b"x" * 5_000_000)
        assert await other.ask("fine", {}) == "fine"
        assert await there.ask("fine", {}) == "fine"


async def _swallowed(asked: Coroutine[Any, Any, Any]) -> Any:
    """What it gives, or raises."""
    try:
        return await asked
    except (WorkerUnavailable, NotFound) as error:
        return error


FRAMES = st.lists(
    st.builds(
        Frame,
        st.sampled_from(Kind),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=300),
        st.binary(max_size=300),
    ),
    max_size=8,
)


@given(FRAMES, st.lists(st.integers(0, 3000), max_size=12))
def test_frames_are_the_same_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    whole = b"".join(frame.written() for frame in frames)
    reader, found, at = Frames(1000), list[Frame](), 0
    for cut in [*sorted(cuts), len(whole)]:
        found += reader.feed(whole[at:cut])
        at = max(at, cut)
    assert found == frames
