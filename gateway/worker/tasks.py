"""Tasks: long operations that clients poll. A bounded number runs at once, each owned by one group.

A task's row is its client's view of it: written when it begins, once a second while it moves, and at its end.
A worker that dies leaves rows that say STARTED; the next one marks them as failed before it serves.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connectors.interface import Chunks, Held, StoreError, Throttled
from gateway import telemetry
from gateway.operations.errors import TaskCancelled, TaskLost, to_json
from gateway.worker.groups import one_error
from store.engine import Database
from store.queries import tasks

_log = logging.getLogger(__name__)
_REPORT_EVERY = 1.0
_PURGE_EVERY = 3600.0
_WRITE_AGAIN = 1.0


@dataclass(slots=True)
class Progress:
    """How far an operation is: bytes that passed, of how many (None: not known), entries done."""

    passed: int = 0
    total: int | None = None
    entries: int = 0

    def counted(self, chunks: Chunks) -> Chunks:
        """The chunks as they are, counted as they pass; closing them closes those."""
        return Held(self._counted(chunks), chunks.aclose)

    async def _counted(self, chunks: Chunks) -> AsyncGenerator[bytes]:
        async with aclosing(chunks) as pieces:
            async for piece in pieces:
                self.passed += len(piece)
                yield piece

    def to_json(self) -> dict[str, int | None]:
        """As a task's client sees it."""
        return {"bytes": self.passed, "total": self.total, "entries": self.entries}


type Work = Callable[[Progress], Awaitable[Any]]


@dataclass(slots=True)
class _Running:
    """A task, and whether it is over but for the writing down of its end."""

    account: int
    carrier: asyncio.Task[None]
    over: bool = False


class Tasks:
    """The tasks of this worker. `run` owns them; nothing can be started before it runs.

    Args:
        database: where their rows are.
        most_running: tasks at once; further ones wait.
        most_waiting: tasks that may wait; one more is refused.
        kept: seconds for which a finished one can still be asked for.
    """

    def __init__(self, database: Database, *, most_running: int, most_waiting: int, kept: float) -> None:
        self._database = database
        self._places = asyncio.Semaphore(most_running)
        self._most = most_running + most_waiting
        self._kept = timedelta(seconds=kept)
        self._running: dict[str, _Running] = {}
        self._held = 0  # places taken, from before a task's row is written
        self._group: asyncio.TaskGroup | None = None

    async def fail_lost(self) -> None:
        """For a worker that starts: what an earlier one left unfinished has failed."""
        error = TaskLost("the gateway was restarted before the task had ended: begin it again")
        async with self._database.session() as session:
            lost = await tasks.fail_unfinished(session, _packed(to_json(error)))
        if lost:
            _log.warning("tasks of a worker that ended have failed", extra={"tasks": lost})

    async def run(self) -> None:
        """Runs until cancelled; every task is cancelled then, and has let go of its store when this ends."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await self._purge()
                    await asyncio.sleep(_PURGE_EVERY)
            finally:
                self._group = None

    async def start(self, account: int, operation: str, work: Work) -> str:
        """The id of the new task. Raises Throttled when too many wait already."""
        if self._group is None or self._held >= self._most:
            raise Throttled("too many tasks wait on this gateway", retry_after=10)
        task_id = secrets.token_urlsafe(24)
        self._held += 1
        try:
            async with self._database.session() as session:
                await tasks.create(session, task_id, account, operation, telemetry.request_id.get())
            carrier = self._group.create_task(self._carry(task_id, work), name=f"task {task_id}")
        except BaseException:
            self._held -= 1
            raise
        self._running[task_id] = _Running(account, carrier)
        carrier.add_done_callback(lambda _: self._ended(task_id))
        return task_id

    def _ended(self, task_id: str) -> None:
        self._held -= 1
        del self._running[task_id]

    async def cancel(self, account: int, task_id: str) -> bool:
        """Whether the account's task was under way; it has let go of the store, and has failed, by then."""
        found = self._running.get(task_id)
        if found is None or found.account != account:
            return False
        was_over = found.over
        await self._end([found])
        return not was_over

    async def cancel_all_of(self, account: int) -> None:
        """Ends every task of an account that is going away."""
        await self._end([task for task in self._running.values() if task.account == account])

    async def _end(self, ending: list[_Running]) -> None:
        """Returns when they have ended. Each is cancelled once: it may be letting go of its store by now."""
        await asyncio.sleep(0)  # one that was begun just now enters its coroutine, and so writes its end
        for task in ending:
            if not task.over and not task.carrier.cancelling():
                task.carrier.cancel()
        if ending:
            await asyncio.wait([task.carrier for task in ending])

    async def _carry(self, task_id: str, work: Work) -> None:
        """From waiting to the end, whatever that is: the task's root, so nothing is raised from here."""
        progress = Progress()
        ended: dict[str, object]
        try:
            ended = {"state": "SUCCESS", "result": _packed(await self._do(task_id, work, progress))}
        except StoreError as error:
            ended = {"state": "FAILURE", "error": _packed(to_json(error))}
        except asyncio.CancelledError:
            why: StoreError = TaskLost("the gateway was stopped before the task had ended: begin it again")
            if self._group is not None:
                why = TaskCancelled("the task was cancelled")
            ended = {"state": "FAILURE", "error": _packed(to_json(why))}
        except Exception:  # noqa: BLE001  the task's root
            _log.exception("a task failed by a bug of ours", extra={"task": task_id})
            lost = TaskLost("the gateway failed; its log has the reason")
            ended = {"state": "FAILURE", "error": _packed(to_json(lost))}
        self._running[task_id].over = True
        await self._write_end(task_id, progress, finished=datetime.now(UTC), **ended)

    async def _write_end(self, task_id: str, progress: Progress, **ended: object) -> None:
        """Until it is written: a database that is away for a while costs nobody the result.

        A worker that is told to stop tries once more, and leaves the rest to the next one's `fail_lost`.
        """
        while True:
            try:
                await self._write(task_id, progress, **ended)
            except asyncio.CancelledError:  # in mid-transaction, perhaps behind its commit: twice is the same
                continue
            except Exception:  # noqa: BLE001  the task's root
                _log.exception("a task's end can't be written", extra={"task": task_id})
            else:
                return
            if self._group is None:
                return
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(_WRITE_AGAIN)

    async def _do(self, task_id: str, work: Work, progress: Progress) -> Any:
        async with self._places:
            await self._write(task_id, progress, state="STARTED")
            with one_error():
                async with asyncio.TaskGroup() as both:
                    reporting = both.create_task(self._report(task_id, progress), name="progress")
                    done = await work(progress)
                    reporting.cancel()
            return done

    async def _report(self, task_id: str, progress: Progress) -> None:
        told = Progress().to_json()
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            if (moved := progress.to_json()) == told:
                continue
            try:
                await self._write(task_id, progress)
            except Exception:  # noqa: BLE001  what can't be told now is told a second later
                _log.exception("a task's progress can't be written", extra={"task": task_id})
            else:
                told = moved

    async def _write(self, task_id: str, progress: Progress, **fields: object) -> None:
        shown = _packed(progress.to_json())
        async with self._database.session() as session:
            await tasks.change(session, task_id, progress=shown, **fields)

    async def _purge(self) -> None:
        try:
            async with self._database.session() as session:
                await tasks.purge(session, datetime.now(UTC) - self._kept)
        except Exception:  # noqa: BLE001  the next round removes them: no reason to end every task
            _log.exception("tasks that are over can't be removed")


def _packed(value: Any) -> str:
    return orjson.dumps(value).decode()
