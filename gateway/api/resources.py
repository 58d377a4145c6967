"""How accounts, files and folders look in JSON (API.md 2 and 4)."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from connectors import registry
from connectors.interface import Capability, implemented
from gateway.api.parameters import moment
from gateway.operations import EntryView
from store.tables import Account


def send(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def listing(objects: list[Any], api: str, **more: object) -> Response:
    """A list in its envelope."""
    return send({"type": "object_list", "api": api, "count": len(objects), **more, "objects": objects})


def base(request: Request) -> str:
    """`{base}/v1` as the client sees it."""
    public = request.app.state.settings.public_url
    return (public.rstrip("/") if public else str(request.base_url).rstrip("/")) + "/v1"


def entry(request: Request, account: Account, view: EntryView) -> dict[str, Any]:
    """A file or folder."""
    storage = f"{base(request)}/accounts/{account.id}/storage"
    able = implemented(registry.require(account.service))
    shown: dict[str, Any] = {
        "id": view.id,
        "name": view.name,
        "type": view.type,
        "api": "storage",
        "account": account.id,
        "href": f"{storage}/{view.type}s/{view.id}",
        "path": view.path,
        "parent": None
        if view.parent is None
        else {
            "id": view.parent.id,
            "name": view.parent.name,
            "href": f"{storage}/folders/{view.parent.id}",
        },
        "ancestors": None,
        "size": view.size,
        "created": moment(view.created),
        "modified": moment(view.modified),
        "owner": view.owner,
        "ids": None,
        "id_type": "path",
        "can_copy": True,
        "can_rename": Capability.MOVE in able,
        "can_move": Capability.MOVE in able,
        "can_delete": True,
    }
    if view.type == "file":
        shown["mime_type"] = view.mime_type
        shown["downloadable"] = True
    else:
        shown["can_create_folders"] = Capability.MKDIR in able
        shown["can_upload_files"] = True
    if request.headers.get("x-kloudless-raw-data", "").lower() == "true":
        shown["raw_id"] = view.raw_id
        shown["raw"] = view.to_json()
    return shown


def account(request: Request, row: Account) -> dict[str, Any]:
    """An account, with its capabilities when `retrieve_full` asks for them."""
    kind = registry.installed().get(row.service)
    shown: dict[str, Any] = {
        "id": row.id,
        "type": "account",
        "api": "meta",
        "href": f"{base(request)}/accounts/{row.id}",
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
    if request.query_params.get("retrieve_full", "").lower() in ("true", "1") and kind is not None:
        shown["properties"] = {"capabilities": _capabilities(implemented(kind))}
    return shown


_ALWAYS = ["can_upload_file", "can_update_file_content", "can_copy_file", "can_delete_file", "can_delete_folder"]
_BY_CAPABILITY = {
    Capability.MKDIR: ["can_create_folder"],
    Capability.MOVE: ["can_rename_file", "can_move_file", "can_rename_folder", "can_move_folder"],
    Capability.COPY: ["can_copy_folder"],
    Capability.SEARCH: ["can_search_file_name"],
}
_NOT_YET = ["can_delete_file_permanently", "multipart_uploads_supported_for_files", "permissions_supported_for_files", "can_list_properties", "properties_supported_for_files", "can_delete_all_properties", "can_list_users", "can_retrieve_user", "can_list_groups", "can_retrieve_group", "can_list_group_members"]


def _capabilities(able: frozenset[Capability]) -> dict[str, dict[str, bool]]:
    shown = dict.fromkeys(_ALWAYS, True) | dict.fromkeys(_NOT_YET, False)
    for capability, names in _BY_CAPABILITY.items():
        shown.update(dict.fromkeys(names, capability in able))
    return {name: {"value": value} for name, value in shown.items()}
