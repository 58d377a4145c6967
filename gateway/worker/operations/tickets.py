"""The operations that let the native proxy connect: to a store, and past every account to a listed host."""

from typing import Any

from connectors.interface import NotPermitted, Unavailable
from gateway.worker.audit.uses import Use
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
    tls = await account.senders.proxied_tls(found[0]) if wants_tls else None
    return {"port": _port(desk), "ticket": desk.ingress.ticket(account.network, *place, tls)}


async def passage(desk: Desk, arguments: Arguments) -> Any:
    """A ticket for one connection to a host that `proxy_pass` lists, from here; the audit log knows of it.

    The setting is asked here again: the proxy is not trusted to name any host.
    """
    account, connector = await able(desk, arguments)
    host, port = arguments["host"], arguments["port"]
    if any((origin.host, origin.port) == (host, port) for origin in connector.origins()):
        raise NotPermitted("this host is the account's own, and is not passed through to")
    made = {"port": _port(desk), "ticket": await desk.ingress.passing_ticket(host, port)}
    await desk.uses.note(Use(account.id, arguments["actor"], "CONNECT", f"{host}:{port}", ""))
    return made


def _port(desk: Desk) -> int:
    if desk.ingress.port is None:
        raise Unavailable("the worker is still starting")
    return desk.ingress.port


OPERATIONS: dict[str, Operation] = {"/proxy_ticket": ticket, "/proxy_pass": passage}
