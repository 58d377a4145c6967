"""Properties, permissions and upload URLs of files and folders (API.md 4)."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from connectors.interface import Permission, Role, Who
from gateway.api import parameters, resources
from gateway.api.bodies import json_object, json_value
from gateway.api.call import Call, View, ref, resource
from gateway.api.errors import invalid
from gateway.api.parameters import moment
from gateway.operations import PropertyView

_LONGEST_KEY, _LONGEST_VALUE = 255, 10_000
_MOST_CHANGES, _MOST_GRANTS = 100, 1000
_UPLOAD_URL_EXPIRES = 3600
_ROLES, _TYPES = ", ".join(Role), ", ".join(Who)


async def properties(call: Call) -> Response:
    """A file's properties."""
    account = await call.store()
    return _properties(await call.parts.operations.extras.properties(ref(account), call.entry_id))


async def set_properties(call: Call) -> Response:
    """All of them after the changes: a list of `{key, value}`, null removes."""
    account = await call.store()
    changes = property_changes(await json_value(call))
    return _properties(
        await call.parts.operations.extras.set_properties(ref(account), call.entry_id, changes)
    )


async def clear_properties(call: Call) -> Response:
    """Removes all of them."""
    account = await call.store()
    await call.parts.operations.extras.clear_properties(ref(account), call.entry_id)
    return Response(status_code=204)


def permissions(kind: str) -> View:
    """The view of every grant on an entry."""

    async def view(call: Call) -> Response:
        account = await call.store()
        return _permissions(await call.parts.operations.extras.permissions(ref(account), call.entry_id, kind))

    return view


def set_permissions(kind: str, *, replace: bool) -> View:
    """The view that sets grants: these alone, or these beside the others."""

    async def view(call: Call) -> Response:
        account = await call.store()
        given = grants(await json_value(call))
        return _permissions(
            await call.parts.operations.extras.set_permissions(
                ref(account), call.entry_id, kind, given, replace=replace
            )
        )

    return view


async def upload_url(call: Call) -> Response:
    """A request that uploads to the store itself, good for an hour; over a taken name only to `overwrite`."""
    account = await call.store()
    overwrite = parameters.flag(call, "overwrite") or False
    given = await json_object(call)
    signed = await call.parts.operations.extras.upload_url(
        ref(account),
        parameters.entry_id(given, "parent_id"),
        parameters.name(given),
        replace=overwrite,
        expires=_UPLOAD_URL_EXPIRES,
    )
    shown = {"url": signed.url, "method": signed.method, "headers": dict(signed.headers)}
    return resources.send(shown)


def property_changes(given: Any) -> dict[str, str | None]:
    """Values by key, None to remove, of the body as JSON; the last of two with one key counts."""
    if not isinstance(given, list):
        raise invalid("body", 'must be a list such as [{"key": "colour", "value": "blue"}]')
    if len(given) > _MOST_CHANGES:
        raise invalid("body", f"at most {_MOST_CHANGES} properties at once")
    changes: dict[str, str | None] = {}
    for one in given:
        if not isinstance(one, dict):
            raise invalid("body", "each property must be an object with key and value")
        key = parameters.text(one, "key")
        if not 0 < len(key) <= _LONGEST_KEY or any(unicodedata.category(c) == "Cc" for c in key):
            raise invalid("key", f"must have 1 to {_LONGEST_KEY} characters, and no control characters")
        if "value" not in one:
            raise invalid("value", "is missing: null removes the property")
        value = parameters.optional_text(one, "value")
        if value is not None and len(value) > _LONGEST_VALUE:
            raise invalid("value", f"is longer than {_LONGEST_VALUE} characters")
        changes[key] = value
    return changes


def grants(given: Any) -> list[Permission]:
    """The body's grants: a list of objects, as the answer has it or by itself, or `{email: role}`."""
    if isinstance(given, dict) and isinstance(given.get("permissions"), list):
        given = given["permissions"]
    if isinstance(given, dict):
        given = [{"email": email, "role": role} for email, role in given.items()]
    if not isinstance(given, list):
        raise invalid("body", 'must be a list of {"type", "role", "email" or "id"}, or {email: role}')
    if len(given) > _MOST_GRANTS:
        raise invalid("body", f"at most {_MOST_GRANTS} permissions at once")
    return [_grant(one) for one in given]


def _grant(given: Any) -> Permission:
    if not isinstance(given, dict):
        raise invalid("body", "each permission must be an object with type and role")
    who, role = parameters.optional_text(given, "type") or Who.USER, parameters.text(given, "role")
    if who not in set(Who):
        raise invalid("type", f"must be one of {_TYPES}")
    if role not in set(Role):
        raise invalid("role", f"must be one of {_ROLES}")
    known, email = parameters.optional_text(given, "id"), parameters.optional_text(given, "email")
    if who == Who.ANYONE:
        return Permission(Who.ANYONE, Role(role))
    if not (known or email):
        raise invalid("email, id", f"one of them says which {who}")
    if email is not None and "@" not in email:
        raise invalid("email", "must be an e-mail address")
    return Permission(Who(who), Role(role), known or None, email or None)


def _properties(found: Iterable[PropertyView]) -> Response:
    shown = [
        {"key": p.key, "value": p.value, "created": moment(p.created), "modified": moment(p.modified)}
        for p in found
    ]
    return resources.send({"properties": shown})


def _permissions(found: Iterable[Permission]) -> Response:
    shown = [{"type": p.who, "role": p.role, "id": p.id, "email": p.email} for p in found]
    return resources.send({"permissions": shown})


def _shared(kind: str) -> dict[str, View]:
    return {
        "GET": permissions(kind),
        "PUT": set_permissions(kind, replace=True),
        "PATCH": set_permissions(kind, replace=False),
    }


_STORAGE = "/v1/accounts/{accounts}/storage"
ROUTES = [
    resource(f"{_STORAGE}/files/upload_url", POST=upload_url),
    resource(
        f"{_STORAGE}/files/{{id}}/properties",
        GET=properties,
        PATCH=set_properties,
        DELETE=clear_properties,
    ),
    resource(f"{_STORAGE}/files/{{id}}/permissions", **_shared("file")),
    resource(f"{_STORAGE}/folders/{{id}}/permissions", **_shared("folder")),
]
