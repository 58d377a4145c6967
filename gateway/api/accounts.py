"""Accounts (API.md 2). Their tasks are in `tasks`."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from connectors.interface import Capability, Quota, StoreError
from gateway.access import NotYours
from gateway.access.reads import reading
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, not_implemented, ref, resource
from gateway.api.errors import ApiError, invalid
from gateway.operations import AccountRef, WorkerUnavailable
from store.queries import accounts, audit
from store.tables import Account

_STORE_WITHIN = 5.0
_CREDENTIAL = ("token", "password", "refresh_token", "token_secret", "token_expiry")


async def index(call: Call) -> Response:
    """The accounts that the caller may see."""
    asking = await call.caller()
    size, page = parameters.page_size(call, 100), parameters.page_number(call)
    filters: dict[str, Any] = {
        "active": parameters.flag(call, "active"),
        "admin": parameters.flag(call, "admin"),
        "service": call.query_params.get("service"),
        "search": call.query_params.get("search"),
    }
    if asking.developer is not None:
        raise ApiError(403, "forbidden", "a Meta token lists no accounts: use an application's API key")
    if asking.application_id is None:
        mine = [a for a in asking.accounts if _matches(a, **filters)]
        found, total = mine[(page - 1) * size : page * size], len(mine)
    else:
        async with reading(call.parts.database) as session:
            owner = asking.application_id
            found = list(await accounts.page(session, owner, offset=(page - 1) * size, limit=size, **filters))
            total = await accounts.count(session, owner, **filters)
    full = parameters.flag(call, "retrieve_full") or False
    shown = [resources.account(call, account, full=full) for account in found]
    following = page + 1 if page * size < total else None
    return resources.listing(shown, "meta", page=page, next_page=following, total=total)


def _matches(
    account: Any, active: bool | None, admin: bool | None, service: str | None, search: str | None
) -> bool:
    return (
        active in (None, account.active)
        and admin in (None, account.admin)
        and service in (None, account.service)
        and (search is None or search.casefold() in account.display_name.casefold())
    )


async def show(call: Call) -> Response:
    """One account; several as a list."""
    found = await call.accounts()
    if parameters.flag(call, "retrieve_tokens"):
        raise not_implemented("retrieve_tokens")
    full = parameters.flag(call, "retrieve_full") or False
    if len(found) == 1:
        quota = await _quota(call, found[0]) if full else None
        return resources.send(resources.account(call, found[0], full=full, quota=quota))
    shown = [resources.account(call, account, full=full) for account in found]
    return resources.listing(shown, "meta", total=len(shown))


async def _quota(call: Call, account: Account) -> Quota | None:
    """The account's room; None where the store does not say, or not in time: the rest is told anyway."""
    if Capability.QUOTA not in resources.able(account.service) or not (account.active and account.enabled):
        return None
    with contextlib.suppress(StoreError, WorkerUnavailable, TimeoutError):
        async with asyncio.timeout(_STORE_WITHIN):
            return await call.parts.operations.extras.quota(ref(account))
    return None


async def change(call: Call) -> Response:
    """Switches an account on or off."""
    account = await call.account()
    given = await json_object(call)
    if "service" in given:
        raise invalid("service", "an account's service can't be changed")
    if (asked := next((name for name in _CREDENTIAL if name in given), None)) is not None:
        raise not_implemented(f"changing {asked} of an account")
    switches = ("active", "enabled")
    fields: dict[str, object] = {n: parameters.optional_flag(given, n) for n in switches if n in given}
    async with call.parts.database.session() as session:
        if fields:
            await accounts.change(session, account.id, **fields)
            await audit.append(session, _actor(account), "account.change", str(account.id), fields)
        changed = await accounts.fetch(session, account.id)
    call.parts.callers.forget()
    if changed is None:
        raise NotYours
    return resources.send(resources.account(call, changed))


async def remove(call: Call) -> Response:
    """Disconnects an account: its credential, tokens, tasks, links, properties and uploads are deleted."""
    account = await call.account()
    await abandon_uploads(call, [account.id])
    async with call.parts.database.session() as session:
        if not await accounts.remove(session, account.id):
            raise NotYours
        await audit.append(session, _actor(account), "account.remove", str(account.id), {})
    call.parts.callers.forget()
    with contextlib.suppress(WorkerUnavailable):  # no worker: then none has the account open
        await call.parts.operations.forget(account.id)
    return Response(status_code=204)


async def abandon_uploads(call: Call, account_ids: Iterable[int]) -> None:
    """Drops what accounts that are to go have sent in parts; a store that is away keeps it."""
    with contextlib.suppress(WorkerUnavailable, TimeoutError):
        async with asyncio.timeout(_STORE_WITHIN):
            for account_id in account_ids:
                with contextlib.suppress(StoreError):
                    await call.parts.operations.uploads.abandon_all(AccountRef(account_id, 0))


def _actor(account: Any) -> str:
    return f"application {account.application_id}"


async def encode_raw_id(call: Call) -> Response:
    """The public id of a raw one."""
    account = await call.store()
    given = await json_object(call)
    kind = parameters.optional_text(given, "type") or "file"
    if kind not in ("file", "folder"):
        raise invalid("type", "must be file or folder")
    raw_id = parameters.text(given, "raw_id")
    if len(raw_id) > parameters.LONGEST_ID:
        raise invalid("raw_id", f"is longer than {parameters.LONGEST_ID} characters")
    return resources.send({"id": await call.parts.operations.encode_raw_id(ref(account), raw_id, kind)})


async def add(call: Call) -> Response:
    """Importing an account: the command line does that so far."""
    await call.caller()
    raise not_implemented("importing an account over the API ('isthmus account add' does it)")


_ACCOUNT = "/v1/accounts/{accounts}"
ROUTES = [
    resource("/v1/accounts", GET=index, POST=add),
    resource(_ACCOUNT, GET=show, PATCH=change, DELETE=remove),
    resource(f"{_ACCOUNT}/encode_raw_id", POST=encode_raw_id),
    resource(f"{_ACCOUNT}/storage/convert_id", POST=encode_raw_id),
]
