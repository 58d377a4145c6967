"""Files and folders, their names and places (API.md 4). Their bytes are in `contents`."""

from typing import Any

from starlette.responses import Response

from gateway.api import parameters, resources, tasks
from gateway.api.bodies import json_object
from gateway.api.call import Call, View, ref, resource
from gateway.api.errors import invalid
from gateway.operations import Conflict
from store.tables import Account


def show(kind: str) -> View:
    """The view of one file or folder."""

    async def view(call: Call) -> Response:
        account = await call.store()
        found = await call.parts.operations.stat(ref(account), call.entry_id, kind)
        return resources.send(resources.entry(call, account, found))

    return view


async def make_folder(call: Call) -> Response:
    """A folder; the one that is there, unless `conflict_if_exists=true`."""
    account = await call.store()
    conflict = Conflict.ERROR if parameters.flag(call, "conflict_if_exists") else Conflict.RENAME
    given = await json_object(call)
    made, created = await call.parts.operations.mkdir(
        ref(account), parameters.entry_id(given, "parent_id"), parameters.name(given), conflict=conflict
    )
    return resources.send(resources.entry(call, account, made), 201 if created else 200)


def move(kind: str) -> View:
    """The view that renames, moves, or both; to another account as well."""

    async def view(call: Call) -> Response:
        account = await call.store(as_task=True)
        given = await json_object(call)
        other = await call.other_store(given, account)
        name = parameters.optional_name(given)
        parent = parameters.optional_entry_id(given, "parent_id")
        if other is not None:
            return await _move_across(call, account, other, kind, given)
        if name is None and parent is None:
            raise invalid("name, parent_id", "one of them is needed")
        arguments = {"parent_id": parent, "name": name}
        if call.wants_task:
            return await tasks.begin(call, account, "move", id=call.entry_id, kind=kind, **arguments)
        moved = await call.parts.operations.move(ref(account), call.entry_id, kind, **arguments)
        return resources.send(resources.entry(call, account, moved))

    return view


async def _move_across(
    call: Call, account: Account, other: Account, kind: str, given: dict[str, Any]
) -> Response:
    arguments: dict[str, Any] = {
        "target": ref(other),
        "parent_id": parameters.entry_id(given, "parent_id"),
        "name": parameters.optional_name(given),
    }
    if call.wants_task:
        return await tasks.begin(call, account, "move_across", id=call.entry_id, kind=kind, **arguments)
    moved = await call.parts.operations.move_across(ref(account), call.entry_id, kind, **arguments)
    return resources.send(resources.entry(call, other, moved))


def copy(kind: str) -> View:
    """The view that copies, within the account or to another one."""

    async def view(call: Call) -> Response:
        account = await call.store(as_task=True)
        given = await json_object(call)
        other = await call.other_store(given, account)
        arguments: dict[str, Any] = {
            "parent_id": parameters.entry_id(given, "parent_id"),
            "name": parameters.optional_name(given),
            "target": None if other is None else ref(other),
        }
        if call.wants_task:
            return await tasks.begin(call, account, "copy", id=call.entry_id, kind=kind, **arguments)
        copied = await call.parts.operations.copy(ref(account), call.entry_id, kind, **arguments)
        return resources.send(resources.entry(call, other or account, copied), 201)

    return view


def delete(kind: str) -> View:
    """The view that removes; `permanent` changes nothing on stores without a bin or older versions."""

    async def view(call: Call) -> Response:
        account = await call.store(as_task=True)
        asked = {
            "recursive": parameters.flag(call, "recursive") or False,
            "permanent": parameters.flag(call, "permanent") or False,
        }
        if call.wants_task:
            return await tasks.begin(call, account, "delete", id=call.entry_id, kind=kind, **asked)
        await call.parts.operations.delete(ref(account), call.entry_id, kind, **asked)
        return Response(status_code=204)

    return view


_STORAGE = "/v1/accounts/{accounts}/storage"
ROUTES = [
    resource(f"{_STORAGE}/folders/{{id}}", GET=show("folder"), PATCH=move("folder"), DELETE=delete("folder")),
    resource(f"{_STORAGE}/folders/{{id}}/copy", POST=copy("folder")),
    resource(f"{_STORAGE}/files/{{id}}/copy", POST=copy("file")),
    resource(f"{_STORAGE}/folders", POST=make_folder),
]
