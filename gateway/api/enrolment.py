"""`POST /connect/enrol`: an agent trades its invitation for an identity, once."""

import base64
import binascii
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access import tokens
from gateway.api import parameters, resources
from gateway.api.errors import ApiError, invalid
from store.queries import audit, networks


async def enrol(request: Request) -> Response:
    """The agent's id, its network's name and the hub's public key."""
    given = await parameters.json_object(request)
    public_key = _key(parameters.text(given, "public_key"))
    name = parameters.optional_text(given, "name") or "agent"
    secret = parameters.text(given, "secret")
    async with request.app.state.database.session() as session:
        network = await networks.use_enrolment(session, tokens.digest(secret), datetime.now(UTC))
        if network is None:
            raise ApiError(
                403, "forbidden", "the invitation is unknown, used or expired: make one with 'network invite'"
            )
        agent = await networks.add_agent(session, network.id, name[:255], public_key)
        await audit.append(session, "agent", "agent.enrol", str(agent.id), {"network": network.name})
    hub_key = (request.app.state.settings.keys / "hub.pub").read_bytes()
    return resources.send(
        {
            "agent_id": agent.id,
            "network": network.name,
            "hub_public_key": base64.urlsafe_b64encode(hub_key).rstrip(b"=").decode(),
        }
    )


def _key(given: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise invalid("public_key", "must be 32 bytes in base64url")
    return key


ROUTES = [Route("/connect/enrol", enrol, methods=["POST"])]
