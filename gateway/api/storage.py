"""Files and folders, their names and places (API.md 4). Their bytes are in `contents`."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api import parameters, resources
from gateway.api.accounts import account_in_path, accounts_in_path, operations, ref
from gateway.api.errors import ApiError, invalid
from gateway.operations import Conflict


def refuse_async(request: Request) -> None:
    """Tasks come with a later version: a client that asks for one must not take our answer for it."""
    wanted = request.headers.get("x-kloudless-async", "").lower() == "true"
    if wanted or request.query_params.get("return_type") == "task":
        raise ApiError(501, "not_implemented", "X-Kloudless-Async is not implemented yet: call without it")


def _show(kind: str) -> Any:
    async def show(request: Request) -> Response:
        account = await account_in_path(request)
        view = await operations(request).stat(ref(account), request.path_params["id"], kind)
        return resources.send(resources.entry(request, account, view))

    return show


async def contents(request: Request) -> Response:
    """A page of a folder; for several accounts the pages of each root, merged."""
    size = parameters.page_size(request, 1000)
    cursor = request.query_params.get("page")
    if cursor in ("", "1"):
        cursor = None
    found = await accounts_in_path(request)
    if len(found) > 1 and (cursor is not None or request.path_params["id"] != "root"):
        raise invalid("accounts", "several accounts are listed together for the first page of root alone")
    objects: list[Any] = []
    following: dict[str, object] = {}
    for account in found:
        page = await operations(request).list(ref(account), request.path_params["id"], cursor, size)
        objects += [resources.entry(request, account, view) for view in page.entries]
        if page.next_cursor is not None and len(found) == 1:
            following = {"next_page": page.next_cursor}
    return resources.listing(objects, "storage", page=cursor or 1, **following)


async def make_folder(request: Request) -> Response:
    """A folder; the one that is there, unless `conflict_if_exists=true`."""
    account = await account_in_path(request)
    refuse_async(request)
    given = await parameters.json_object(request)
    conflict = Conflict.ERROR if parameters.flag(request, "conflict_if_exists") else Conflict.RENAME
    view, created = await operations(request).mkdir(
        ref(account), parameters.text(given, "parent_id"), parameters.name(given), conflict=conflict
    )
    return resources.send(resources.entry(request, account, view), 201 if created else 200)


def _move(kind: str) -> Any:
    async def move(request: Request) -> Response:
        account = await account_in_path(request)
        refuse_async(request)
        given = await parameters.json_object(request)
        _same_account(given, account.id)
        name = parameters.optional_text(given, "name")
        parent = parameters.optional_text(given, "parent_id")
        if name is None and parent is None:
            raise invalid("name, parent_id", "one of them is needed")
        view = await operations(request).move(
            ref(account),
            request.path_params["id"],
            kind,
            parent_id=parent,
            name=None if name is None else parameters.checked_name(name),
        )
        return resources.send(resources.entry(request, account, view))

    return move


def _copy(kind: str) -> Any:
    async def copy(request: Request) -> Response:
        account = await account_in_path(request)
        refuse_async(request)
        given = await parameters.json_object(request)
        _same_account(given, account.id)
        name = parameters.optional_text(given, "name")
        view = await operations(request).copy(
            ref(account),
            request.path_params["id"],
            kind,
            parent_id=parameters.text(given, "parent_id"),
            name=None if name is None else parameters.checked_name(name),
        )
        return resources.send(resources.entry(request, account, view), 201)

    return copy


def _delete(kind: str) -> Any:
    async def delete(request: Request) -> Response:
        account = await account_in_path(request)
        refuse_async(request)
        recursive = parameters.flag(request, "recursive") or False
        await operations(request).delete(ref(account), request.path_params["id"], kind, recursive=recursive)
        return Response(status_code=204)

    return delete


async def search(request: Request) -> Response:
    """Entries by name, where the connector can."""
    account = await account_in_path(request)
    query = request.query_params.get("q", "")
    if not query:
        raise invalid("q", "must not be empty")
    page = await operations(request).search(
        ref(account), query, request.query_params.get("page"), parameters.page_size(request, 100)
    )
    objects = [resources.entry(request, account, view) for view in page.entries]
    following = {} if page.next_cursor is None else {"next_page": page.next_cursor}
    return resources.listing(objects, "storage", page=request.query_params.get("page", 1), **following)


def _same_account(given: dict[str, Any], account_id: int) -> None:
    other = given.get("account")
    if other is not None and str(other) not in (str(account_id), "me"):
        raise ApiError(501, "not_implemented", "moving and copying to another account is not implemented yet")


_STORAGE = "/v1/accounts/{accounts}/storage"
ROUTES = [
    Route(f"{_STORAGE}/search", search, methods=["GET"]),
    Route(f"{_STORAGE}/folders", make_folder, methods=["POST"]),
    Route(f"{_STORAGE}/folders/{{id}}/contents", contents, methods=["GET"]),
    *(
        route
        for kind in ("file", "folder")
        for route in (
            Route(f"{_STORAGE}/{kind}s/{{id}}", _show(kind), methods=["GET"]),
            Route(f"{_STORAGE}/{kind}s/{{id}}", _move(kind), methods=["PATCH"]),
            Route(f"{_STORAGE}/{kind}s/{{id}}", _delete(kind), methods=["DELETE"]),
            Route(f"{_STORAGE}/{kind}s/{{id}}/copy", _copy(kind), methods=["POST"]),
        )
    ),
]
