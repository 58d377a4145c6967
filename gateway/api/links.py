"""Links that share a file (API.md 4). What their URLs show is in `shared`."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from gateway.access import NotYours, passwords, tokens
from gateway.access.reads import reading
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, ref, resource
from gateway.api.errors import invalid
from gateway.api.parameters import moment
from store import envelope
from store.queries import audit, links
from store.tables import Account, Link

LONGEST_PASSWORD = 1024


async def index(call: Call) -> Response:
    """The links of the accounts, oldest first."""
    found = [account.id for account in await call.stores()]
    size, page = parameters.page_size(call, 100), parameters.page_number(call)
    active = parameters.flag(call, "active")
    async with reading(call.parts.database) as session:
        rows = await links.page(session, found, active=active, offset=(page - 1) * size, limit=size)
        total = await links.count(session, found, active=active)
    shown = [await _link(call, row) for row in rows]
    following = page + 1 if page * size < total else None
    return resources.listing(shown, "storage", page=page, next_page=following, total=total)


async def add(call: Call) -> Response:
    """A new link, for a file that is there."""
    account = await call.store()
    given = await json_object(call)
    file = await call.parts.operations.stat(ref(account), parameters.entry_id(given, "file_id"), "file")
    fields = await _fields(call, given)
    token = tokens.make()
    digest = tokens.digest(token)
    async with call.parts.database.session() as session:
        made = await links.create(
            session,
            account.id,
            raw_id=file.raw_id,
            file_id=file.id,
            name=file.name,
            digest=digest,
            sealed=envelope.seal(token.encode(), _context(digest), call.parts.sealing),
            **fields,
        )
        await audit.append(session, _actor(account), "link.create", made.id, {"account": account.id})
    return resources.send(_shown(call, made, token), 201)


async def show(call: Call) -> Response:
    """One link."""
    account = await call.store()
    async with reading(call.parts.database) as session:
        found = await links.fetch(session, account.id, call.entry_id)
    return resources.send(await _link(call, _required(found)))


async def change(call: Call) -> Response:
    """Sets the fields that are given; `password: null` takes the password off."""
    account = await call.store()
    given = await json_object(call)
    fields = await _fields(call, given)
    async with call.parts.database.session() as session:
        found = _required(await links.fetch(session, account.id, call.entry_id))
        if parameters.optional_entry_id(given, "file_id") not in (None, found.file_id):
            raise invalid("file_id", "a link's file can't be changed: make another link")
        for name, value in fields.items():
            setattr(found, name, value)
        await session.flush()
        changed = {"account": account.id, "fields": sorted(fields)}
        await audit.append(session, _actor(account), "link.change", found.id, changed)
    return resources.send(await _link(call, found))


async def remove(call: Call) -> Response:
    """Ends a link."""
    account = await call.store()
    async with call.parts.database.session() as session:
        if not await links.remove(session, account.id, call.entry_id):
            raise NotYours
        await audit.append(session, _actor(account), "link.remove", call.entry_id, {"account": account.id})
    return Response(status_code=204)


def path(call: Call, token: str) -> str:
    """The path of a link's page, as its visitors see it."""
    return f"{urlsplit(call.base).path.removesuffix('/v1')}/links/{token}"


async def _fields(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that the body sets."""
    fields: dict[str, Any] = {}
    for name in ("active", "direct"):
        if (value := parameters.optional_flag(given, name)) is not None:
            fields[name] = value
    if "expiration" in given:
        fields["expiration"] = parameters.optional_date(given, "expiration")
    if "password" in given:
        password = parameters.optional_text(given, "password")
        if password is not None and not 0 < len(password) <= LONGEST_PASSWORD:
            raise invalid("password", f"must have 1 to {LONGEST_PASSWORD} characters; null takes it off")
        fields["password_hash"] = None if password is None else await _hashed(call, password)
    return fields


async def _hashed(call: Call, password: str) -> str:
    async with call.parts.hashing:
        return await asyncio.to_thread(passwords.hashed, password)


def _required(found: Link | None) -> Link:
    if found is None:
        raise NotYours
    return found


async def _link(call: Call, row: Link) -> dict[str, Any]:
    context = _context(row.digest)
    opened = await call.parts.operations.unseal(context.table, context.row, context.column, row.sealed)
    return _shown(call, row, opened.decode())


def _shown(call: Call, row: Link, token: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": "link",
        "api": "storage",
        "href": f"{call.base}/accounts/{row.account_id}/storage/links/{row.id}",
        "account": row.account_id,
        "file_id": row.file_id,
        "name": row.name,
        "url": f"{call.base.removesuffix('/v1')}/links/{token}",
        "active": row.active,
        "direct": row.direct,
        "password": row.password_hash is not None,
        "expiration": moment(row.expiration),
        "created": moment(row.created),
        "modified": moment(row.modified),
    }


def _context(digest: bytes) -> envelope.Context:
    return envelope.Context("links", digest.hex(), "sealed")


def _actor(account: Account) -> str:
    return f"application {account.application_id}"


_LINKS = "/v1/accounts/{accounts}/storage/links"
ROUTES = [
    resource(_LINKS, GET=index, POST=add),
    resource(f"{_LINKS}/{{id}}", GET=show, PATCH=change, DELETE=remove),
]
