"""TLS that passes through without interception, to hosts that need nothing put in.

Nothing can be checked in what passes through but where it goes: the CONNECT line, the setting (here and in
the worker), the addresses (in the worker), and the server name that the client says in the clear.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from mitmproxy import connection, http
from mitmproxy.addons.proxyserver import Proxyserver

from connectors.interface import Origin
from gateway.access.pass_through import is_listed
from gateway.operations import AccountRef, Operations
from gateway.proxy.access import Access, Proof
from gateway.proxy.counting.metrics import Traffic
from gateway.proxy.grants import Denied, Grant, origin_at

PASSAGE: Final = "isthmus passage"
"""In the metadata of a CONNECT's flow: what it opened."""
_EVERY: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Passage:
    """One client's way through.

    Attributes:
        traffic: where its bytes are counted.
        failure: why it ended, if not by one of its two ends.
    """

    proof: Proof
    ref: AccountRef
    host: str
    port: int
    traffic: Traffic = field(default_factory=Traffic)
    failure: str | None = None


class Passages:
    """The addon that opens them, and ends those whose token has ended.

    Args:
        listed: the setting `proxy_pass`.
    """

    def __init__(
        self, listed: Collection[str], access: Access, operations: Operations, server: Proxyserver
    ) -> None:
        self._listed = listed
        self._access = access
        self._operations = operations
        self._server = server
        self._open: dict[str, Passage] = {}

    def covers(self, origins: Sequence[Origin], host: str, port: int) -> bool:
        """Whether this host is passed through to. What is the account's own never is."""
        return is_listed(self._listed, host, port) and origin_at(origins, host, port) is None

    async def begin(self, flow: http.HTTPFlow, proof: Proof, grant: Grant, host: str, port: int) -> None:
        """Makes the CONNECT a passage. Raises Denied, and what a worker does that lets nothing through."""
        grant.require_passing(host, port)
        ref = AccountRef(grant.account, grant.revision)
        await self._operations.grants.passage(ref, host, port, actor=grant.actor)
        made = Passage(proof, ref, host, port)
        flow.metadata[PASSAGE] = self._open[flow.client_conn.id] = made

    def of(self, client: connection.Client) -> Passage | None:
        """What the client's connection is, if it is a passage."""
        return self._open.get(client.id)

    def client_disconnected(self, client: connection.Client) -> None:
        """It has ended."""
        self._open.pop(client.id, None)

    async def watch(self) -> None:
        """Ends passages whose token was revoked or expired, a second later, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            for client, passage in list(self._open.items()):
                try:
                    await self._access.again(passage.proof)
                except Denied:
                    passage.failure = "its token has ended"
                    self._end(client)
                except Exception:  # noqa: BLE001  the root of this task: the next second asks again
                    _log.exception("whether a token still works was not found out")

    def _end(self, client: str) -> None:
        if (handler := self._server.connections.get(client)) is not None and handler.transports:
            handler.close_connection(handler.client)
