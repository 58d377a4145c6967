"""Operations on tasks: to begin one, to end one. What can be one is the table of long operations."""

from typing import Any

from connectors.interface import Unsupported
from gateway.worker.accounts import one_work
from gateway.worker.desk import Arguments, Desk, Long, Operation
from gateway.worker.events.changes import followed
from gateway.worker.operations import copies, fetches
from gateway.worker.tasks import Progress

RUNNABLE: dict[str, Long] = copies.RUNNABLE | {"fetch": fetches.fetch}


async def start_task(desk: Desk, arguments: Arguments) -> Any:
    """A task that does an operation with these arguments."""
    operation: str = arguments["operation"]
    work = RUNNABLE.get(operation)
    if work is None:
        raise Unsupported(f"{operation} can't be a task")
    asking = {name: arguments.get(name) for name in ("account", "raw", "headers", "actor", "ip")}
    given = asking | arguments["arguments"]

    async def carried(progress: Progress) -> Any:
        with one_work():
            return await followed(desk, f"/{operation}", given, work(desk, given, progress))

    return {"id": await desk.tasks.start(arguments["account"]["id"], operation, carried)}


async def cancel_task(desk: Desk, arguments: Arguments) -> Any:
    """Whether the task was under way."""
    return {"cancelled": await desk.tasks.cancel(arguments["account"]["id"], arguments["task"])}


OPERATIONS: dict[str, Operation] = {"/start_task": start_task, "/cancel_task": cancel_task}
