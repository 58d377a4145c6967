"""Accounts (API.md 2) and GET /oauth/token (3)."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access.callers import Caller, NotYours
from gateway.api import parameters, resources
from gateway.api.errors import ApiError, invalid
from gateway.operations import AccountRef, Operations
from store.engine import Database
from store.queries import accounts, tasks
from store.tables import Account


async def caller(request: Request) -> Caller:
    """Who asks; Refused without a valid key or token."""
    found: Caller = await request.app.state.callers.resolve(request.headers.get("authorization"))
    return found


async def accounts_in_path(request: Request) -> list[Account]:
    """The accounts that the path names; NotYours for any that the caller may not know of."""
    found: list[Account] = await request.app.state.callers.accounts(
        await caller(request), request.path_params["accounts"]
    )
    return found


async def account_in_path(request: Request) -> Account:
    """The one account that the path names."""
    found = await accounts_in_path(request)
    if len(found) != 1:
        raise invalid("accounts", "this takes one account")
    return found[0]


def ref(account: Account) -> AccountRef:
    """The account as operations name it."""
    return AccountRef(account.id, account.revision)


def operations(request: Request) -> Operations:
    """The way to a worker."""
    found: Operations = request.app.state.operations
    return found


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


async def index(request: Request) -> Response:
    """The accounts that the caller may see."""
    asking = await caller(request)
    size, page = parameters.page_size(request, 100), parameters.page_number(request)
    filters: dict[str, Any] = {
        "active": parameters.flag(request, "active"),
        "admin": parameters.flag(request, "admin"),
        "service": request.query_params.get("service"),
        "search": request.query_params.get("search"),
    }
    if asking.application_id is None:
        if asking.developer_id is not None:
            raise ApiError(403, "forbidden", "a Meta token lists no accounts: use an API key")
        return resources.listing(
            [resources.account(request, a) for a in asking.accounts],
            "meta",
            total=len(asking.accounts),
            page=1,
        )
    async with _database(request).session() as session:
        found = await accounts.page(
            session, asking.application_id, offset=(page - 1) * size, limit=size, **filters
        )
        total = await accounts.count(session, asking.application_id, **filters)
    following = {"next_page": page + 1} if page * size < total else {}
    shown = [resources.account(request, a) for a in found]
    return resources.listing(shown, "meta", total=total, page=page, **following)


async def show(request: Request) -> Response:
    """One account."""
    return resources.send(resources.account(request, await account_in_path(request)))


async def change(request: Request) -> Response:
    """Switches an account on or off."""
    account = await account_in_path(request)
    given = await parameters.json_object(request)
    fields = {name: given[name] for name in ("active", "enabled") if name in given}
    for name, value in fields.items():
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false")
    if "service" in given:
        raise invalid("service", "an account's service can't be changed")
    async with _database(request).session() as session:
        await accounts.change(session, account.id, **fields)
        changed = await accounts.fetch(session, account.id)
    request.app.state.callers.forget()
    if changed is None:
        raise NotYours
    return resources.send(resources.account(request, changed))


async def remove(request: Request) -> Response:
    """Disconnects an account."""
    account = await account_in_path(request)
    async with _database(request).session() as session:
        gone = await accounts.remove(session, account.id)
    request.app.state.callers.forget()
    if not gone:
        raise NotYours
    await operations(request).forget(account.id)
    return Response(status_code=204)


async def encode_raw_id(request: Request) -> Response:
    """The public id of a raw one."""
    account = await account_in_path(request)
    given = await parameters.json_object(request)
    kind = parameters.optional_text(given, "type") or "file"
    if kind not in ("file", "folder"):
        raise invalid("type", "must be file or folder")
    raw_id = parameters.text(given, "raw_id")
    return resources.send({"id": await operations(request).encode_raw_id(ref(account), raw_id, kind)})


async def task(request: Request) -> Response:
    """A task's state."""
    account = await account_in_path(request)
    async with _database(request).session() as session:
        found = await tasks.fetch(session, account.id, request.path_params["task"])
    if found is None:
        raise NotYours
    return resources.send({**orjson.loads(found.result), "id": found.id, "state": found.state})


async def token_facts(request: Request) -> Response:
    """What a Bearer token is for (API.md 3)."""
    asking = await caller(request)
    if not asking.tokens:
        raise ApiError(401, "unauthorized", "send 'Authorization: Bearer TOKEN' with an account's token")
    facts = asking.tokens[0]
    return resources.send(
        {
            "client_id": facts.client_id,
            "account_id": facts.account_id,
            "scope": facts.scope,
            "expires_in": None,
            "expires": parameters.moment(facts.expires),
        }
    )


async def left_out(request: Request) -> Response:
    """What the original had and this product leaves out, or has not yet: 501 that says which."""
    rest = request.path_params["rest"].split("/")[0]
    await accounts_in_path(request)
    raise ApiError(501, "not_implemented", f"{rest} is not implemented by this gateway")


ROUTES = [
    Route("/v1/oauth/token", token_facts, methods=["GET"]),
    Route("/v1/accounts", index, methods=["GET"]),
    Route("/v1/accounts/{accounts}", show, methods=["GET"]),
    Route("/v1/accounts/{accounts}", change, methods=["PATCH"]),
    Route("/v1/accounts/{accounts}", remove, methods=["DELETE"]),
    Route("/v1/accounts/{accounts}/encode_raw_id", encode_raw_id, methods=["POST"]),
    Route("/v1/accounts/{accounts}/storage/convert_id", encode_raw_id, methods=["POST"]),
    Route("/v1/accounts/{accounts}/tasks/{task}", task, methods=["GET"]),
]
LAST = [
    Route(
        "/v1/accounts/{accounts}/{rest:path}",
        left_out,
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
    )
]
