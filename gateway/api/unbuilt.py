"""What the original had and this gateway has not, or not yet: 501 that says which, for whoever may ask."""

from starlette.responses import Response

from gateway.api.call import Call, View, not_implemented, resource

_EVERY = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ACCOUNT = "/v1/accounts/{accounts}"
_STORAGE = f"{_ACCOUNT}/storage"

# path below an account: what is missing
TABLE = {
    f"{_STORAGE}/files/{{id}}/thumbnail": "thumbnails",
    f"{_ACCOUNT}/subscriptions/{{rest:path}}": "subscriptions",
    f"{_ACCOUNT}/tasks": "listing tasks",
    f"{_ACCOUNT}/cal/{{rest:path}}": "the Calendar API",
    f"{_ACCOUNT}/crm/{{rest:path}}": "the CRM API",
    f"{_ACCOUNT}/chat/{{rest:path}}": "the Chat API",
}


def _view(what: str) -> View:
    async def view(call: Call) -> Response:
        await call.accounts()
        raise not_implemented(what)

    return view


async def team(call: Call) -> Response:
    """No connector has users and groups yet."""
    services = sorted({account.service for account in await call.accounts()})
    raise not_implemented(f"team: listing users and groups by the {', '.join(services)} connector")


ROUTES = [
    *(resource(path, **dict.fromkeys(_EVERY, _view(what))) for path, what in TABLE.items()),
    resource(f"{_ACCOUNT}/team/{{rest:path}}", **dict.fromkeys(_EVERY, team)),
]
