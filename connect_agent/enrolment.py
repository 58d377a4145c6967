"""Joining a network: the one call in which an agent's public key and the hub's are exchanged for a token."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from connect_agent.identity import JoinToken, from_base64, to_base64
from connect_agent.way import OPEN_TIMEOUT, Way, describe

_MOST_JSON = 1024 * 1024


class JoinError(Exception):
    """The gateway was not reached or did not let us join; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What the gateway said to a join."""

    agent_id: int
    network: str
    hub_public_key: bytes
    connect: tuple[str, ...]


def enrol(token: JoinToken, public_key: bytes, name: str, way: Way) -> Joined:
    """Uses the token up: registers the public key. Blocks; meant for the command line. Raises JoinError."""
    asked = {"secret": token.secret, "public_key": to_base64(public_key), "name": name}
    try:
        code, text = _post(f"{token.gateway}/connect/enrol", json.dumps(asked).encode(), way)
    except (OSError, http.client.HTTPException) as error:
        raise JoinError(f"the gateway {token.gateway} was not reached: {describe(error)}") from error
    try:
        answer = json.loads(text)
        if code != 200:
            said = answer.get("message") or answer.get("error_message") or "no reason given"
            raise JoinError(f"the gateway refused the token (HTTP {code}): {str(said)[:300]}")
        joined = Joined(
            int(answer["agent_id"]),
            str(answer["network"]),
            from_base64(answer["hub_public_key"]),
            tuple(_hub_url(token.gateway, str(url)) for url in answer.get("connect", ["/connect"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JoinError(f"{token.gateway} did not answer like an Isthmus gateway (HTTP {code})") from error
    if not token.is_for(joined.hub_public_key):
        raise JoinError(
            "the gateway that answered is not the one that made the token: someone may be in between; "
            "nothing was kept, ask for a new token"
        )
    return joined


def _hub_url(gateway: str, given: str) -> str:
    """The websocket's URL: as given, or a path under the gateway's. Raises ValueError."""
    if given.startswith("/"):
        given = ("wss" if gateway.startswith("https:") else "ws") + gateway[gateway.index(":") :] + given
    if not given.startswith(("ws://", "wss://")) or not urlsplit(given).hostname:
        raise ValueError("no websocket URL")
    if gateway.startswith("https:") and given.startswith("ws://"):
        raise ValueError("a websocket without TLS at a gateway with TLS")
    return given


def _post(url: str, body: bytes, way: Way) -> tuple[int, bytes]:
    """One POST of JSON; status and body. Raises OSError and HTTPException."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    via = (way.proxy.host, way.proxy.port) if way.proxy else (host, port)
    line: http.client.HTTPConnection
    if secure:
        line = http.client.HTTPSConnection(*via, timeout=OPEN_TIMEOUT, context=way.tls)
    else:
        line = http.client.HTTPConnection(*via, timeout=OPEN_TIMEOUT)
    if way.proxy is not None:
        line.set_tunnel(host, port, headers=way.proxy.authorization)
    try:
        line.connect()
        if secure:
            way.check_pin(line.sock)
        headers = {"Content-Type": "application/json", "User-Agent": "isthmus-agent"}
        line.request("POST", parts.path or "/", body, headers)
        answer = line.getresponse()
        return answer.status, answer.read(_MOST_JSON)
    finally:
        line.close()
