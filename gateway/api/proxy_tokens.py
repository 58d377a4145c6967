"""Tokens for the native proxy: what a program gets instead of the store's credential."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from gateway.access import NotYours, tokens
from gateway.access.native import require_native
from gateway.access.placeholders import placeholder
from gateway.access.reads import reading
from gateway.access.scopes import BadScope, Scope
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, resource
from gateway.api.errors import invalid
from gateway.api.parameters import moment
from store.queries import audit, proxy_tokens
from store.tables import Account, ProxyToken

_LONGEST_NAME = 255


async def index(call: Call) -> Response:
    """The account's tokens that still work, oldest first; the tokens themselves are not kept."""
    account = await call.account()
    async with reading(call.parts.database) as session:
        rows = await proxy_tokens.of_account(session, account.id)
    return resources.listing([_shown(call, row) for row in rows], "proxy", total=len(rows))


async def add(call: Call) -> Response:
    """A new token, shown this once with the keys that S3's programs sign with, and how to reach the proxy."""
    account = await call.store()
    require_native(account.service)
    given = await json_object(call)
    name = parameters.optional_text(given, "name") or ""
    if len(name) > _LONGEST_NAME:
        raise invalid("name", f"is longer than {_LONGEST_NAME} characters")
    scope, expires = _scope(given), parameters.optional_date(given, "expires")
    token = tokens.make()
    async with call.parts.database.session() as session:
        row = await proxy_tokens.create(
            session,
            account.id,
            tokens.digest(token),
            name=name,
            hosts=scope.hosts,
            methods=scope.methods,
            paths=scope.paths,
            read_only=scope.read_only,
            expires=expires,
        )
        await audit.append(
            session, _actor(account), "proxy_token.create", str(row.id), {"account": account.id}
        )
    aws = asdict(placeholder(row.digest))
    return resources.send({**_shown(call, row), "token": token, "aws": aws, "proxy": _proxy(call)}, 201)


async def remove(call: Call) -> Response:
    """Ends a token; within a second the proxy knows."""
    account = await call.account()
    given: str = call.path_params["id"]
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise NotYours
    async with call.parts.database.session() as session:
        if not await proxy_tokens.revoke(session, int(given), account.id):
            raise NotYours
        await audit.append(session, _actor(account), "proxy_token.revoke", given, {"account": account.id})
    return Response(status_code=204)


def _scope(given: Mapping[str, Any]) -> Scope:
    lists = {name: _texts(given, name) for name in ("hosts", "methods", "paths")}
    read_only = parameters.optional_flag(given, "read_only") or False
    try:
        return Scope.checked(**lists, read_only=read_only)
    except BadScope as error:
        raise invalid(error.field, error.why) from None


def _texts(given: Mapping[str, Any], name: str) -> list[str]:
    found = given.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise invalid(name, "must be a list of strings")
    return found


def _shown(call: Call, row: ProxyToken) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": "proxy_token",
        "api": "proxy",
        "href": f"{call.base}/accounts/{row.account_id}/proxy_tokens/{row.id}",
        "account": row.account_id,
        "name": row.name,
        "hosts": json.loads(row.hosts),
        "methods": json.loads(row.methods),
        "paths": json.loads(row.paths),
        "read_only": row.read_only,
        "expires": moment(row.expires),
        "created": moment(row.created),
    }


def _proxy(call: Call) -> dict[str, Any] | None:
    """Where the proxy listens and what its clients trust; None where none runs beside this api."""
    settings = call.parts.settings
    try:
        port, ca = int(settings.proxy_place.read_text()), settings.proxy_ca.read_text()
    except (OSError, ValueError):
        return None
    return {"url": settings.proxy_url, "port": port, "ca": ca}


def _actor(account: Account) -> str:
    return f"application {account.application_id}"


_TOKENS = "/v1/accounts/{accounts}/proxy_tokens"
ROUTES = [
    resource(_TOKENS, GET=index, POST=add),
    resource(f"{_TOKENS}/{{id}}", DELETE=remove),
]
