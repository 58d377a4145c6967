"""The way to the gateway: through which proxy, trusting whom; and what went wrong on it, in words."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxyStatus, InvalidStatus

from connect_agent.identity import fingerprint
from connect_agent.protocol import SUBPROTOCOL
from connect_agent.settings import Proxy, Settings

OPEN_TIMEOUT: Final = 20.0


@dataclass(frozen=True, slots=True)
class Way:
    """How the gateway is reached: through which proxy, trusting whom, insisting on which certificate."""

    proxy: Proxy | None
    tls: ssl.SSLContext
    pin: str = ""

    def check_pin(self, secured: Any) -> None:
        """Raises SSLError unless the TLS object or socket was shown the pinned certificate."""
        if not self.pin:
            return
        der = secured.getpeercert(binary_form=True) if secured is not None else None
        if der is None or fingerprint(der) != self.pin:
            raise ssl.SSLError("the gateway's certificate is not the pinned one")


async def open_websocket(settings: Settings, url: str) -> ClientConnection:
    """A websocket to the hub: through the proxy if there is one, certificate checked, pin too.

    Raises OSError, WebSocketException, SettingsError.
    """
    proxy = settings.proxy_for(url)
    way = Way(proxy, settings.tls(), settings.pin.lower())
    secure: dict[str, Any] = {"ssl": way.tls} if url.startswith("wss://") else {}
    websocket = await connect(
        url,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str
        compression=None,
        proxy=proxy.url if proxy else None,
        user_agent_header="isthmus-agent",
        open_timeout=OPEN_TIMEOUT,
        close_timeout=2,
        ping_interval=None,
        max_size=2 * 1024 * 1024,
        write_limit=512 * 1024,
        **secure,
    )
    try:
        if secure:
            way.check_pin(websocket.transport.get_extra_info("ssl_object"))
        if websocket.subprotocol != SUBPROTOCOL:
            raise InvalidHandshake("the far side is no Isthmus gateway")
    except BaseException:
        await shut(websocket)
        raise
    return websocket


async def shut(websocket: ClientConnection) -> None:
    """Closes; does not wait for a peer that may be dead."""
    try:
        async with asyncio.timeout(1):
            await websocket.close()
    except TimeoutError:
        websocket.transport.abort()


def describe(error: Exception) -> str:
    """What went wrong on the way to the gateway, with what to do where that is known."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted ({error.verify_message}): set ca_file, or check the clock"
        case ssl.SSLError():
            return f"TLS failed: {error.args[-1] if error.args else error}"
        case InvalidProxyStatus():
            hint = ": set proxy with a name and password" if error.response.status_code == 407 else ""
            return f"the proxy answered HTTP {error.response.status_code}{hint}"
        case InvalidStatus():
            return f"the gateway answered HTTP {error.response.status_code} instead of a websocket"
        case TimeoutError():
            return "no answer in time: is the way out open? try 'isthmus-agent doctor'"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
