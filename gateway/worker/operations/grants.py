"""Operations that authorise requests which others send: one head at a time, never the key."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson

from connectors.interface import (
    Authorised,
    CanAuthorise,
    InvalidName,
    NotPermitted,
    Origin,
    Payload,
    Request,
)
from gateway.access.reads import reading
from gateway.worker.accounts import OpenAccount
from gateway.worker.audit.uses import Use
from gateway.worker.desk import Arguments, Desk, Operation, Upload, busy
from store.queries import networks

_MOST_JSON = 512 * 1024  # a head of 64 KiB, each byte of it escaped


async def origins(desk: Desk, arguments: Arguments) -> Any:
    """Where the account's requests may go, and through which network."""
    account, connector = await able(desk, arguments)
    network = None
    if account.network is not None:
        async with reading(desk.database) as session:
            row = await networks.fetch(session, account.network)
        network = {"id": account.network, "name": row.name if row else ""}
    ours = account.senders.shows_certificate or desk.store_tls == "worker"
    places = [replace(origin, worker_tls=ours and origin.scheme == "https") for origin in connector.origins()]
    return {"origins": places, "network": network}


async def grant(desk: Desk, arguments: Arguments, body: AsyncIterator[bytes]) -> Any:
    """The request in the body, authorised."""
    account, connector = await able(desk, arguments)
    request = _request(connector, await _read(body))
    return await authorise(
        desk, account, connector, request, actor=arguments["actor"], refused=arguments["refused"]
    )


async def able(desk: Desk, arguments: Arguments) -> tuple[OpenAccount, CanAuthorise]:
    """The account, and its connector as one that authorises. Raises Unsupported."""
    return await desk.able(arguments, CanAuthorise, "send requests in the store's own API")  # type: ignore[type-abstract]  # a protocol


async def authorise(
    desk: Desk,
    account: OpenAccount,
    connector: CanAuthorise,
    request: Request,
    *,
    actor: str,
    refused: str | None = None,
) -> Authorised:
    """The request with the account's authorisation; the audit log knows of it."""
    with busy(account):
        made = await connector.authorise(request, refused=refused)
    path = made.target.partition("?")[0]
    await desk.uses.note(Use(account.id, actor, request.method, request.origin.authority, path))
    return made


def origin_of(connector: CanAuthorise, scheme: str, host: str, port: int, path: str | None = None) -> Origin:
    """The account's own origin at this place, with its certificates. Raises NotPermitted."""
    for one in connector.origins():
        if (one.scheme, one.host, one.port) == (scheme, host, port) and path in (None, one.path):
            return one
    raise NotPermitted("this host is not one of the account's")


def _request(connector: CanAuthorise, value: dict[str, Any]) -> Request:
    place = value["origin"]
    return Request(
        value["method"],
        origin_of(connector, place["scheme"], place["host"], place["port"], place["path"]),
        value["target"],
        [(name, text) for name, text in value["fields"]],
        Payload(value["payload"]),
        value["digest"],
    )


async def _read(body: AsyncIterator[bytes]) -> dict[str, Any]:
    received = bytearray()
    async for piece in body:
        received += piece
        if len(received) > _MOST_JSON:
            raise InvalidName("the request's head is larger than 64 KiB")
    found: dict[str, Any] = orjson.loads(received)
    return found


OPERATIONS: dict[str, Operation] = {"/origins": origins}
UPLOADS: dict[str, Upload] = {"/grant": grant}
