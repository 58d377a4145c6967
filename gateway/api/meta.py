"""The Meta API: a developer's own applications and their keys (API.md 6)."""

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response
from starlette.routing import Route

from gateway.access import NotYours, connecting, tokens
from gateway.access.reads import reading
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, View, not_implemented, resource
from gateway.api.errors import invalid
from gateway.operations import WorkerUnavailable
from store import envelope
from store.queries import accounts, applications, audit
from store.tables import ApiKey, Application, Developer

_TEXTS = {"name": 255, "description": 10_000, "logo_url": 2_000}
_FLAGS = ("active", "implicit_grant_enabled", "recent_enabled", "events_enabled", "internal_use")
_AT_ONCE = 100


async def me(call: Call) -> Response:
    """The developer who asks."""
    developer = await call.developer()
    shown = {"id": developer.id, "type": "developer", "api": "meta", "email": developer.email}
    created = parameters.moment(developer.created)
    return resources.send({**shown, "href": f"{call.base}/meta/developers/me", "created": created})


async def index(call: Call) -> Response:
    """The developer's applications; a page goes on behind the id that `next_page` names."""
    developer = await call.developer()
    size = parameters.page_size(call, 100)
    page = call.query_params.get("page", "1")
    after = "" if page in ("", "1") else page
    async with reading(call.parts.database) as session:
        found = list(await applications.owned_by(session, developer.id, after, size + 1))
    following = found[size - 1].id if len(found) > size else None
    shown = [_application(call, application) for application in found[:size]]
    return resources.listing(shown, "meta", page=page if after else 1, next_page=following)


async def add(call: Call) -> Response:
    """A new application, with one API key."""
    developer = await call.developer()
    given = await json_object(call)
    fields = _fields(given)
    name = str(fields.pop("name", None) or _missing("name"))
    async with call.parts.database.session() as session:
        made = await applications.create(session, developer.id, name, **fields)
        await _add_key(call, session, made.id)
        await audit.append(session, _actor(developer), "application.create", made.id, {"name": name})
    return resources.send(_application(call, made), 201)


async def show(call: Call) -> Response:
    """One application."""
    developer = await call.developer()
    async with reading(call.parts.database) as session:
        return resources.send(_application(call, await _own(call, session, developer)))


async def change(call: Call) -> Response:
    """Sets the fields that are given."""
    developer = await call.developer()
    fields = _fields(await json_object(call))
    async with call.parts.database.session() as session:
        found = await _own(call, session, developer)
        for name, value in fields.items():
            setattr(found, name, value)
        await audit.append(session, _actor(developer), "application.change", found.id, fields)
    call.parts.callers.forget()
    return resources.send(_application(call, found))


async def remove(call: Call) -> Response:
    """Deletes an application with its keys, accounts and tokens."""
    developer = await call.developer()
    async with reading(call.parts.database) as session:
        found = await _own(call, session, developer)
        connected = await _account_ids(session, found.id)
    await connecting.abandon_uploads(call.parts.operations, connected)
    async with call.parts.database.session() as session:
        await applications.remove(session, found.id)
        await audit.append(session, _actor(developer), "application.remove", found.id, {})
    call.parts.callers.forget()
    with contextlib.suppress(WorkerUnavailable):  # no worker: then none has an account open
        for account in connected:
            await call.parts.operations.forget(account)
    return Response(status_code=204)


async def keys(call: Call) -> Response:
    """The application's API keys in full, for their owner; each look is audited."""
    developer = await call.developer()
    size, page = parameters.page_size(call, 100), parameters.page_number(call)
    async with call.parts.database.session() as session:
        application = await _own(call, session, developer)
        every = await applications.keys_of(session, application.id)
        found = every[(page - 1) * size : page * size]
        looked = {"keys": [key.id for key in found]}
        await audit.append(session, _actor(developer), "apikey.look", application.id, looked)
    shown = [_key(call, application.id, await _unsealed(call, key), key) for key in found]
    following = page + 1 if page * size < len(every) else None
    return resources.listing(shown, "meta", page=page, next_page=following)


async def add_key(call: Call) -> Response:
    """One more API key."""
    developer = await call.developer()
    async with call.parts.database.session() as session:
        application = await _own(call, session, developer)
        made, key = await _add_key(call, session, application.id)
        await audit.append(session, _actor(developer), "apikey.create", application.id, {"key": made.id})
    return resources.send(_key(call, application.id, key, made), 201)


async def show_key(call: Call) -> Response:
    """The key that the path holds, if it is one of the application's."""
    developer = await call.developer()
    digest = tokens.digest(call.path_params["key"])
    async with call.parts.database.session() as session:
        application = await _own(call, session, developer)
        every = await applications.keys_of(session, application.id)
        found = next((key for key in every if key.digest == digest), None)
        if found is None:
            raise NotYours
        await audit.append(session, _actor(developer), "apikey.look", application.id, {"keys": [found.id]})
    return resources.send(_key(call, application.id, call.path_params["key"], found))


async def remove_key(call: Call) -> Response:
    """Ends a key."""
    developer = await call.developer()
    digest = tokens.digest(call.path_params["key"])
    async with call.parts.database.session() as session:
        application = await _own(call, session, developer)
        if not await applications.remove_key(session, application.id, digest):
            raise NotYours
        await audit.append(session, _actor(developer), "apikey.remove", application.id, {})
    call.parts.callers.forget()
    return Response(status_code=204)


def unbuilt(what: str) -> View:
    """A chapter of the Meta API that is not here yet."""

    async def view(call: Call) -> Response:
        await call.developer()
        raise not_implemented(what)

    return view


async def _own(call: Call, session: AsyncSession, developer: Developer) -> Application:
    """The application in the path, if it is the developer's. Raises NotYours."""
    found = await applications.fetch(session, call.path_params["application"])
    if found is None or found.developer_id != developer.id:
        raise NotYours
    return found


async def _add_key(call: Call, session: AsyncSession, application: str) -> tuple[ApiKey, str]:
    key = tokens.make()
    digest = tokens.digest(key)
    sealed = envelope.seal(key.encode(), _context(digest), call.parts.sealing)
    return await applications.add_key(session, application, digest, sealed), key


async def _unsealed(call: Call, key: ApiKey) -> str:
    context = _context(key.digest)
    opened = await call.parts.operations.unseal(context.table, context.row, context.column, key.sealed)
    return opened.decode()


def _context(digest: bytes) -> envelope.Context:
    return envelope.Context("api_keys", digest.hex(), "sealed")


async def _account_ids(session: AsyncSession, application: str) -> list[int]:
    found: list[int] = []
    while more := await accounts.page(session, application, offset=len(found), limit=_AT_ONCE):
        found += [account.id for account in more]
    return found


def _fields(given: Mapping[str, Any]) -> dict[str, object]:
    """What may be set of an application, checked; anything else is left alone."""
    fields: dict[str, object] = {}
    for name, longest in _TEXTS.items():
        if (text := parameters.optional_text(given, name)) is not None:
            if len(text) > longest or (name == "name" and not text.strip()):
                raise invalid(name, f"must have 1 to {longest} characters")
            fields[name] = text
    for name in _FLAGS:
        if (value := parameters.optional_flag(given, name)) is not None:
            fields[name] = value
    return fields


def _missing(field: str) -> str:
    raise invalid(field, "is missing")


def _actor(developer: Developer) -> str:
    return f"developer {developer.id}"


def _application(call: Call, row: Application) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": "application",
        "api": "meta",
        "href": f"{call.base}/meta/applications/{row.id}",
        **{name: getattr(row, name) for name in (*_TEXTS, *_FLAGS)},
        "created": parameters.moment(row.created),
        "modified": parameters.moment(row.modified),
    }


def _key(call: Call, application: str, key: str, row: ApiKey) -> dict[str, Any]:
    return {
        "key": key,
        "type": "api_key",
        "api": "meta",
        "href": f"{call.base}/meta/applications/{application}/apikeys/{key}",
        "created": parameters.moment(row.created),
    }


def _routes(base: str) -> list[Route]:
    one = f"{base}/applications/{{application}}"
    later = ("webhooks", "redirect_uris", "trusted_domains", "service_keys", "upload_locations")
    return [
        resource(f"{base}/developers/me", GET=me),
        resource(f"{base}/applications", GET=index, POST=add),
        resource(one, GET=show, PATCH=change, DELETE=remove),
        resource(f"{one}/apikeys", GET=keys, POST=add_key),
        resource(f"{one}/apikeys/{{key}}", GET=show_key, DELETE=remove_key),
        *(resource(f"{one}/{name}", GET=unbuilt(name), POST=unbuilt(name)) for name in later),
    ]


ROUTES = [*_routes("/v1/meta"), *_routes("/v1")]  # the second is the older spelling
