"""The operations that let the native proxy connect: to a store, and past every account to a listed host."""

from typing import Any, Final

from connectors.interface import NotPermitted
from gateway.worker.audit.uses import Use
from gateway.worker.desk import Arguments, Desk, Dial, Operation
from gateway.worker.operations.grants import able
from gateway.worker.outside.ways import Way


async def store(desk: Desk, arguments: Arguments) -> Way:
    """To an origin of the account; with `tls` we speak that with the store."""
    account, connector = await able(desk, arguments)
    place, wants_tls = (arguments["host"], arguments["port"]), arguments["tls"]
    found = [
        origin
        for origin in connector.origins()
        if (origin.host, origin.port) == place and (origin.scheme == "https" or not wants_tls)
    ]
    if not found:
        raise NotPermitted("this host is not one of the account's")
    tls = await account.senders.proxied_tls(found[0]) if wants_tls else None
    return Way(account.network, *place, tls)


async def past(desk: Desk, arguments: Arguments) -> Way:
    """To a host that `proxy_pass` lists, from here.

    The setting is asked here again: the proxy is not trusted to name any host.
    """
    _, connector = await able(desk, arguments)
    host, port = arguments["host"], arguments["port"]
    if any((origin.host, origin.port) == (host, port) for origin in connector.origins()):
        raise NotPermitted("this host is the account's own, and is not passed through to")
    return desk.ways.past(host, port)


async def passage(desk: Desk, arguments: Arguments) -> Any:
    """Says whether the way past every account would be opened; the audit log knows of it from here on."""
    way = await past(desk, arguments)
    await desk.ways.require_permitted(way)
    used = Use(arguments["account"]["id"], arguments["actor"], "CONNECT", f"{way.host}:{way.port}", "")
    await desk.uses.note(used)
    return {}


OPERATIONS: Final[dict[str, Operation]] = {"/passage": passage}
DIALS: Final[dict[str, Dial]] = {"store": store, "past": past}
