"""Tasks: long operations that a client begins, polls, cancels and forgets (API.md 1 and 2)."""

from typing import Any

import orjson
from starlette.responses import Response

from gateway.access import NotYours
from gateway.access.reads import reading
from gateway.api import errors, parameters, resources
from gateway.api.call import Call, ref, resource
from gateway.operations import EntryView
from gateway.operations.errors import from_json
from store.queries import accounts, tasks
from store.tables import Account, Task


async def begin(call: Call, account: Account, operation: str, **arguments: Any) -> Response:
    """202 with the task that does the operation, and where to ask for it."""
    task_id = await call.parts.operations.start_task(ref(account), operation, **arguments)
    shown = _own(call, account, task_id, "PENDING")
    response = resources.send(shown, 202)
    response.headers["Location"] = str(shown["href"])
    return response


async def show(call: Call) -> Response:
    """A task's state and progress; when it has ended its result, or its error as errors look."""
    account = await call.account()
    async with reading(call.parts.database) as session:
        found = await tasks.fetch(session, account.id, call.path_params["task"])
        if found is None:
            raise NotYours
        result = orjson.loads(found.result)
        holder = await accounts.fetch(session, result["account"]) if "account" in result else None
    shown = {
        **_own(call, account, found.id, found.state),
        "operation": found.operation,
        "progress": orjson.loads(found.progress) or _NO_PROGRESS,
        "created": parameters.moment(found.created),
        "modified": parameters.moment(found.modified),
    }
    if found.error is not None:
        shown["error"] = _error(found)
    if found.state == "SUCCESS":
        if "entry" in result:
            result = resources.entry(call, holder or account, EntryView.from_json(result["entry"]))
        shown = {**result, **shown, "result": result}
    return resources.send(shown)


async def drop(call: Call) -> Response:
    """Cancels a task that is under way; forgets one that has ended."""
    account = await call.account()
    task_id = call.path_params["task"]
    async with reading(call.parts.database) as session:
        found = await tasks.fetch(session, account.id, task_id)
    if found is None:
        raise NotYours
    if found.state in tasks.UNFINISHED and await call.parts.operations.cancel_task(ref(account), task_id):
        return Response(status_code=204)
    async with call.parts.database.session() as session:
        if (found := await tasks.fetch(session, account.id, task_id)) is not None:
            await session.delete(found)
    return Response(status_code=204)


_NO_PROGRESS = {"bytes": 0, "total": None, "entries": 0}


def _own(call: Call, account: Account, task_id: str, state: str) -> dict[str, Any]:
    href = f"{call.base}/accounts/{account.id}/tasks/{task_id}"
    own = {"id": task_id, "state": state, "type": "task", "api": "tasks", "href": href}
    return {**own, "progress": _NO_PROGRESS}


def _error(task: Task) -> dict[str, object]:
    status, code, message = errors.known(from_json(orjson.loads(task.error or "{}"))) or errors.UNKNOWN
    return errors.fields(status, code, message, task.request_id)


ROUTES = [resource("/v1/accounts/{accounts}/tasks/{task}", GET=show, DELETE=drop)]
