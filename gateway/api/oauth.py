"""What a token is for: GET /oauth/token (API.md 3). Errors have the shape of RFC 6749."""

from datetime import UTC, datetime

import orjson
from starlette.responses import Response

from gateway.access import Refused
from gateway.api import resources
from gateway.api.call import Call, resource


async def show(call: Call) -> Response:
    """The facts of a Bearer token: a client checks that `client_id` is its own."""
    try:
        asking = await call.caller()
    except Refused as error:
        return _refused(401, "invalid_token", str(error))
    if not asking.tokens:
        return _refused(401, "invalid_token", "send 'Authorization: Bearer TOKEN' with an account's token")
    facts = asking.tokens[0]
    left = None
    if facts.expires is not None:
        left = max(0, int((facts.expires - datetime.now(UTC)).total_seconds()))
    return resources.send(
        {
            "client_id": facts.client_id,
            "account_id": facts.account_id,
            "scope": facts.scope,
            "expires_in": left,
        }
    )


async def make(call: Call) -> Response:
    """Trading a code for a token comes with the connect pages."""
    return _refused(501, "unsupported_grant_type", "this gateway hands out no tokens over OAuth yet")


def _refused(status: int, error: str, description: str) -> Response:
    headers = {"WWW-Authenticate": f'Bearer realm="isthmus", error="{error}"'} if status == 401 else None
    shown = orjson.dumps({"error": error, "error_description": description})
    return Response(shown, status, headers, media_type="application/json")


ROUTES = [resource("/v1/oauth/token", GET=show, POST=make)]
