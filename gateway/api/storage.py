"""Files and folders, their names and places (API.md 4). Their bytes are in `contents`."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, View, not_implemented, ref, resource
from gateway.api.errors import invalid
from gateway.operations import Conflict, PageView
from store.tables import Account


def show(kind: str) -> View:
    """The view of one file or folder."""

    async def view(call: Call) -> Response:
        account = await call.store()
        found = await call.parts.operations.stat(ref(account), call.entry_id, kind)
        return resources.send(resources.entry(call, account, found))

    return view


async def contents(call: Call) -> Response:
    """A page of a folder; of several accounts one after the other."""

    async def pages(account: Account, cursor: str | None, limit: int) -> PageView:
        return await call.parts.operations.list(ref(account), call.entry_id, cursor, limit)

    return await _merged(call, await call.stores(), parameters.page_size(call, 1000), pages)


async def search(call: Call) -> Response:
    """Entries by name, where the connector can; of several accounts one after the other."""
    accounts = await call.stores()
    query = call.query_params.get("q", "")
    if not query:
        raise invalid("q", "must not be empty")

    async def pages(account: Account, cursor: str | None, limit: int) -> PageView:
        return await call.parts.operations.search(ref(account), query, cursor, limit)

    return await _merged(call, accounts, parameters.page_size(call, 100), pages)


async def _merged(
    call: Call,
    accounts: list[Account],
    size: int,
    pages: Callable[[Account, str | None, int], Awaitable[PageView]],
) -> Response:
    """At most `size` entries from where `page` says on; goes to the next account when one has no more."""
    number, cursor = parameters.page_place(call)
    objects: list[dict[str, Any]] = []
    while number < len(accounts) and len(objects) < size:
        account = accounts[number]
        page = await pages(account, cursor, size - len(objects))
        objects += resources.entries(call, account, page.entries)
        cursor = page.next_cursor
        if cursor is None:
            number += 1
        elif not page.entries:
            break  # a store may give an empty page and go on: the client comes back, nothing spins here
    following = parameters.place_text(number, cursor) if number < len(accounts) else None
    return resources.listing(objects, "storage", page=_as_given(call), next_page=following)


def _as_given(call: Call) -> int | str:
    given = call.query_params.get("page", "1")
    return 1 if given in ("", "1") else given


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
    """The view that renames, moves, or both."""

    async def view(call: Call) -> Response:
        account = await call.store()
        given = await json_object(call)
        _same_account(given, account.id)
        name = parameters.optional_name(given)
        parent = parameters.optional_entry_id(given, "parent_id")
        if name is None and parent is None:
            raise invalid("name, parent_id", "one of them is needed")
        moved = await call.parts.operations.move(
            ref(account), call.entry_id, kind, parent_id=parent, name=name
        )
        return resources.send(resources.entry(call, account, moved))

    return view


def copy(kind: str) -> View:
    """The view that copies within the account."""

    async def view(call: Call) -> Response:
        account = await call.store()
        given = await json_object(call)
        _same_account(given, account.id)
        copied = await call.parts.operations.copy(
            ref(account),
            call.entry_id,
            kind,
            parent_id=parameters.entry_id(given, "parent_id"),
            name=parameters.optional_name(given),
        )
        return resources.send(resources.entry(call, account, copied), 201)

    return view


def delete(kind: str) -> View:
    """The view that removes; `permanent` changes nothing on stores without a bin or older versions."""

    async def view(call: Call) -> Response:
        account = await call.store()
        permanent = parameters.flag(call, "permanent") or False
        recursive = parameters.flag(call, "recursive") or False
        await call.parts.operations.delete(
            ref(account), call.entry_id, kind, recursive=recursive, permanent=permanent
        )
        return Response(status_code=204)

    return view


def _same_account(given: dict[str, Any], account_id: int) -> None:
    other = given.get("account")
    if other is None or other in (account_id, str(account_id), "me"):
        return
    if isinstance(other, bool) or not isinstance(other, int | str):
        raise invalid("account", "must be an account's id")
    raise not_implemented("moving or copying to another account")


_STORAGE = "/v1/accounts/{accounts}/storage"
ROUTES = [
    resource(f"{_STORAGE}/folders/{{id}}/contents", GET=contents),
    resource(f"{_STORAGE}/folders/{{id}}", GET=show("folder"), PATCH=move("folder"), DELETE=delete("folder")),
    resource(f"{_STORAGE}/folders/{{id}}/copy", POST=copy("folder")),
    resource(f"{_STORAGE}/files/{{id}}/copy", POST=copy("file")),
    resource(f"{_STORAGE}/folders", POST=make_folder),
    resource(f"{_STORAGE}/search", GET=search),
]
