"""Failed attempts at what has no key yet: api processes ask here, so that they count together.

A worker that is started again has forgotten them.
"""

from typing import Any

from gateway.operations.attempts import Attempt
from gateway.worker.desk import Arguments, Desk, Operation


async def wait(desk: Desk, arguments: Arguments) -> Any:
    """Seconds until another attempt is taken, or null."""
    return {"seconds": desk.attempts[Attempt(arguments["kind"])].wait(arguments["who"])}


async def failed(desk: Desk, arguments: Arguments) -> Any:
    """Counts one that failed."""
    desk.attempts[Attempt(arguments["kind"])].failed(arguments["who"])
    return {}


OPERATIONS: dict[str, Operation] = {"/attempt_wait": wait, "/attempt_failed": failed}
