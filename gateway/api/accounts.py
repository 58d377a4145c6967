"""Accounts (API.md 2). Their tasks are in `tasks`."""

import asyncio
import contextlib
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from connectors import registry
from connectors.interface import Capability, Quota, Settings, StoreError
from gateway.access import NotYours, connecting
from gateway.access.reads import reading
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, not_implemented, ref, resource
from gateway.api.errors import ApiError, invalid
from gateway.operations import WorkerUnavailable
from store.queries import accounts, networks
from store.tables import Account

_STORE_WITHIN = 5.0
_SWITCHES = ("active", "enabled")
_ON_GATEWAY = "folders of the gateway's own machine are connected by who runs it: 'isthmus account add local'"
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
    """Switches an account on or off, renames it, changes its settings: a new password, another host."""
    account = await call.account()
    given = await json_object(call)
    if "service" in given:
        raise invalid("service", "an account's service can't be changed")
    fields: dict[str, object] = {n: parameters.optional_flag(given, n) for n in _SWITCHES if n in given}
    if (display_name := parameters.optional_text(given, "account")) is not None:
        fields["display_name"] = _display_name(display_name)
    kind = registry.require(account.service)
    if changes := {name: given[name] for name in kind.settings.model_fields if name in given}:
        if kind.on_gateway:
            raise ApiError(403, "forbidden", _ON_GATEWAY)
        await call.parts.operations.amend(ref(account), changes)
    elif (asked := next((name for name in _CREDENTIAL if name in given), None)) is not None:
        raise invalid(asked, f"a {account.service} account has no such setting")
    async with call.parts.database.session() as session:
        await connecting.change(session, account.id, fields, changes, actor=_actor(account))
        changed = await accounts.fetch(session, account.id)
    call.parts.callers.forget()
    if changed is None:
        raise NotYours
    return resources.send(resources.account(call, changed))


async def remove(call: Call) -> Response:
    """Disconnects an account: its credential, tokens, tasks, links, properties and uploads are deleted."""
    account = await call.account()
    await connecting.abandon_uploads(call.parts.operations, [account.id])
    async with call.parts.database.session() as session:
        if not await connecting.remove(session, account.id, actor=_actor(account)):
            raise NotYours
    call.parts.callers.forget()
    with contextlib.suppress(WorkerUnavailable):  # no worker: then none has the account open
        await call.parts.operations.forget(account.id)
    return Response(status_code=204)


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
    """Imports an account: a service, its connector's settings by name, a network for a private store."""
    asking = await call.caller()
    if asking.application_id is None or asking.developer is not None:
        raise ApiError(403, "forbidden", "an account is imported with an application's API key")
    given = await json_object(call)
    service = parameters.text(given, "service")
    kind = registry.installed().get(service)
    if kind is None:
        raise invalid("service", f"must be one of {', '.join(sorted(registry.installed()))}")
    if kind.on_gateway:
        raise ApiError(403, "forbidden", _ON_GATEWAY)
    named = parameters.optional_text(given, "account")
    settings = connecting.checked(kind.settings, _settings(kind.settings, given, named))
    async with call.parts.database.session() as session:
        made = await connecting.connect(
            session,
            call.parts.sealing,
            application_id=asking.application_id,
            service=service,
            settings=settings,
            network_id=await _network(session, given),
            display_name=None if named is None else _display_name(named),
            actor=f"application {asking.application_id}",
        )
    return resources.send(resources.account(call, made), 201)


def _settings(kind: type[Settings], given: dict[str, Any], named: str | None) -> dict[str, Any]:
    """What of the body is the connector's; the account's name is the user's where none is given."""
    found = {name: given[name] for name in kind.model_fields if given.get(name) is not None}
    if named is not None and "username" in kind.model_fields:
        found.setdefault("username", named)
    return found


async def _network(session: AsyncSession, given: dict[str, Any]) -> int | None:
    name = parameters.optional_text(given, "network")
    if name is None:
        return None
    found = await networks.by_name(session, name)
    if found is None:
        raise invalid("network", "there is no network of that name")
    return found.id


def _display_name(given: str) -> str:
    if not 0 < len(given) <= connecting.LONGEST_NAME:
        raise invalid("account", f"must have 1 to {connecting.LONGEST_NAME} characters")
    return given


_ACCOUNT = "/v1/accounts/{accounts}"
ROUTES = [
    resource("/v1/accounts", GET=index, POST=add),
    resource(_ACCOUNT, GET=show, PATCH=change, DELETE=remove),
    resource(f"{_ACCOUNT}/encode_raw_id", POST=encode_raw_id),
    resource(f"{_ACCOUNT}/storage/convert_id", POST=encode_raw_id),
]
