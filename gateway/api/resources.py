"""How accounts, files and folders look in JSON (API.md 2 and 4)."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
from starlette.responses import Response

from connectors import registry
from connectors.interface import Capability, Connector, Quota, implemented
from gateway.api.call import Call
from gateway.api.parameters import moment
from gateway.operations import EntryView
from store.tables import Account


def send(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def listing(
    objects: list[Any], api: str, *, page: object = 1, next_page: object = None, **more: object
) -> Response:
    """A list in its envelope. `next_page` is always there: without it clients count on by themselves."""
    envelope = {"type": "object_list", "api": api, "count": len(objects), "page": page}
    return send({**envelope, "next_page": next_page, **more, "objects": objects})


def entries(call: Call, account: Account, views: Iterable[EntryView]) -> list[dict[str, Any]]:
    """Files and folders."""
    abilities = able(account.service)
    storage = f"{call.base}/accounts/{account.id}/storage"
    return [_entry(view, account.id, storage, abilities, raw=call.wants_raw) for view in views]


def entry(call: Call, account: Account, view: EntryView) -> dict[str, Any]:
    """A file or folder."""
    return entries(call, account, (view,))[0]


def _entry(
    view: EntryView, account: int, storage: str, able: frozenset[Capability], *, raw: bool
) -> dict[str, Any]:
    movable = Capability.MOVE in able
    copyable = Capability.COPY in able or Capability.MKDIR in able  # folders: by the store, or by us
    is_file = view.type == "file"
    shown: dict[str, Any] = {
        "id": view.id,
        "name": view.name,
        "type": view.type,
        "api": "storage",
        "account": account,
        "href": f"{storage}/{view.type}s/{view.id}",
        "path": view.path,
        "parent": _parent(view, storage),
        "ancestors": None,
        "created": moment(view.created),
        "modified": moment(view.modified),
        "owner": view.owner,
        "ids": None,
        "id_type": "path",
        "can_copy": is_file or copyable,
        "can_rename": movable,
        "can_move": movable,
        "can_delete": True,
    }
    if is_file:
        shown["size"] = view.size
        shown["mime_type"] = view.mime_type
        shown["downloadable"] = True
    else:
        shown["can_create_folders"] = Capability.MKDIR in able
        shown["can_upload_files"] = True
    if raw:
        shown["raw_id"] = view.raw_id
        shown["raw"] = _raw(view)
    return shown


def _parent(view: EntryView, storage: str) -> dict[str, str] | None:
    if view.parent is None:
        return None
    return {
        "id": view.parent.id,
        "name": view.parent.name,
        "href": f"{storage}/folders/{view.parent.id}",
    }


def _raw(view: EntryView) -> dict[str, Any]:
    """The store's own description: as it gave it where the connector passes that on, else the facts in it."""
    if view.raw is not None:
        return view.raw
    facts = {
        "id": view.raw_id,
        "name": view.name,
        "type": view.type,
        "path": view.path,
        "size": view.size,
        "modified": moment(view.modified),
        "created": moment(view.created),
        "etag": view.etag,
        "mime_type": view.mime_type,
        "owner": view.owner,
    }
    return {name: value for name, value in facts.items() if value is not None}


def account(call: Call, row: Account, *, full: bool = False, quota: Quota | None = None) -> dict[str, Any]:
    """An account; with its capabilities when it is asked for in `full`, and its quota when that is known."""
    kind = _connector(row.service)
    shown: dict[str, Any] = {
        "id": row.id,
        "type": "account",
        "api": "meta",
        "href": f"{call.base}/accounts/{row.id}",
        "account": row.display_name,
        "service": row.service,
        "service_name": row.service if kind is None else kind.friendly_name,
        "active": row.active,
        "enabled": row.enabled,
        "admin": row.admin,
        "apis": ["storage"],
        "internal_use": row.internal_use,
        "created": moment(row.created),
        "modified": moment(row.modified),
        "token_expiry": moment(row.token_expiry),
    }
    if full and kind is not None:
        shown["properties"] = {"capabilities": _capabilities(able(row.service))}
        if quota is not None:
            shown["properties"]["quota"] = {"total": quota.total, "used": quota.used, "free": quota.free}
    return shown


_ALWAYS = (
    "can_upload_file",
    "can_update_file_content",
    "can_copy_file",
    "can_delete_file",
    "can_delete_file_permanently",
    "can_delete_folder",
    "can_search_file_name",
    # what a store can't keep of these is kept by us
    "can_list_properties",
    "properties_supported_for_files",
    "can_delete_all_properties",
)
_BY_CAPABILITY = {
    Capability.MKDIR: ("can_create_folder", "can_copy_folder"),
    Capability.MOVE: ("can_rename_file", "can_move_file", "can_rename_folder", "can_move_folder"),
    Capability.PARTS: ("multipart_uploads_supported_for_files",),
    Capability.PERMISSIONS: ("permissions_supported_for_files",),
}
_NOT_YET = (
    "can_list_users",
    "can_retrieve_user",
    "can_list_groups",
    "can_retrieve_group",
    "can_list_group_members",
)


def _capabilities(able: frozenset[Capability]) -> dict[str, dict[str, bool]]:
    shown = dict.fromkeys(_ALWAYS, True) | dict.fromkeys(_NOT_YET, False)
    for capability, names in _BY_CAPABILITY.items():
        shown |= dict.fromkeys(names, capability in able)
    return {name: {"value": value} for name, value in shown.items()}


def _connector(service: str) -> type[Connector] | None:
    return registry.installed().get(service)


@cache
def able(service: str) -> frozenset[Capability]:
    """What the service's connector can do; nothing when it isn't installed here."""
    kind = _connector(service)
    return frozenset() if kind is None else implemented(kind)
