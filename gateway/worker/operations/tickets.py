"""The operation that lets the native proxy connect to a store."""

from typing import Any

from connectors.interface import NotPermitted, Unavailable
from gateway.worker.desk import Arguments, Desk, Operation
from gateway.worker.operations.grants import able


async def ticket(desk: Desk, arguments: Arguments) -> Any:
    """A ticket for one connection to an origin of the account, and the port that takes it."""
    account, connector = await able(desk, arguments)
    place = (arguments["host"], arguments["port"])
    wants_tls = arguments["tls"]
    found = [
        origin
        for origin in connector.origins()
        if (origin.host, origin.port) == place and (origin.scheme == "https" or not wants_tls)
    ]
    if not found:
        raise NotPermitted("this host is not one of the account's")
    tls = await account.senders.tls(found[0]) if wants_tls else None
    if desk.ingress.port is None:
        raise Unavailable("the worker is still starting")
    return {"port": desk.ingress.port, "ticket": desk.ingress.ticket(account.network, *place, tls)}


OPERATIONS: dict[str, Operation] = {"/proxy_ticket": ticket}
