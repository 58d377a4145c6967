"""`POST /connect/enrol`: an agent trades its invitation for an identity, once."""

import base64
import binascii
from datetime import UTC, datetime

from starlette.responses import Response

from gateway.access import tokens
from gateway.api import parameters, resources
from gateway.api.bodies import json_object
from gateway.api.call import Call, resource
from gateway.api.errors import ApiError, invalid
from gateway.operations import Attempt
from store.errors import Duplicate
from store.queries import audit, networks

_LONGEST_NAME = 255


async def enrol(call: Call) -> Response:
    """The agent's id, its network's name, the hub's public key and where to connect.

    An invitation that does not work is a 403, whatever was wrong with it; too many of them a 429.
    """
    attempts, address = call.parts.operations.attempts, call.counted_as
    if (wait := await attempts.wait(Attempt.ENROLMENT, address)) is not None:
        raise ApiError(429, "too_many_requests", "too many failed enrolments", retry_after=wait)
    given = await json_object(call)
    secret = parameters.text(given, "secret")
    public_key = _key(parameters.text(given, "public_key"))
    name = parameters.optional_text(given, "name") or "agent"
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise invalid("name", f"must have at most {_LONGEST_NAME} printable characters")
    try:
        agent_id, network = await _enrol(call, secret, public_key, name)
    except Duplicate:
        await attempts.failed(Attempt.ENROLMENT, address)
        raise ApiError(409, "conflict", "public_key: an agent with this key is enrolled already") from None
    except ApiError:
        await attempts.failed(Attempt.ENROLMENT, address)
        raise
    return resources.send(
        {
            "agent_id": agent_id,
            "network": network,
            "hub_public_key": _text((call.parts.settings.keys / "hub.pub").read_bytes()),
            "connect": [f"{call.base.removesuffix('/v1').replace('http', 'ws', 1)}/connect"],
        }
    )


async def _enrol(call: Call, secret: str, public_key: bytes, name: str) -> tuple[int, str]:
    """Uses the invitation and adds the agent, both or neither."""
    async with call.parts.database.session() as session:
        network = await networks.use_enrolment(session, tokens.digest(secret), datetime.now(UTC))
        if network is None:
            raise ApiError(403, "forbidden", "the invitation is unknown, used or expired: ask for a new one")
        agent = await networks.add_agent(session, network.id, name, public_key)
        await audit.append(session, "agent", "agent.enrol", str(agent.id), {"network": network.name})
        return agent.id, network.name


def _key(given: str) -> bytes:
    try:
        key = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise invalid("public_key", "must be 32 bytes in base64url")
    return key


def _text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


ROUTES = [resource("/connect/enrol", POST=enrol)]
