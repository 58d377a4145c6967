"""Operations that concern no store: secrets for their owner, tunnels, whether we are there."""

from typing import Any

from pydantic import ValidationError

from gateway.access import connecting
from gateway.worker.desk import Arguments, Desk, Operation
from store import envelope
from store.envelope import unseal


async def forget(desk: Desk, arguments: Arguments) -> Any:
    """Ends an account's tasks and closes its connector."""
    await desk.tasks.cancel_all_of(arguments["account_id"])
    await desk.accounts.forget(arguments["account_id"])
    return {}


async def amend(desk: Desk, arguments: Arguments) -> Any:
    """Changes some of an account's settings: they are merged here, where they can be read."""
    try:
        await desk.accounts.amend(arguments["account"]["id"], arguments["changes"])
    except ValidationError as error:
        raise connecting.first_fault(error) from None
    return {}


async def open_secret(desk: Desk, arguments: Arguments) -> Any:
    """A secret in the clear; the api asks for its owner alone and writes the audit row."""
    context = envelope.Context(*arguments["context"])
    return {"plain": unseal.unseal(bytes.fromhex(arguments["sealed"]), context, desk.private).hex()}


async def tunnels(desk: Desk, arguments: Arguments) -> Any:
    """Every agent that the hub knows of."""
    return {"tunnels": desk.hub.tunnels()}


async def drop_agent(desk: Desk, arguments: Arguments) -> Any:
    """Closes an agent's tunnels."""
    await desk.hub.drop_agent(arguments["agent_id"])
    return {}


async def ready(desk: Desk, arguments: Arguments) -> Any:
    """An answer."""
    return {"ready": True}


OPERATIONS: dict[str, Operation] = {
    "/forget": forget,
    "/amend": amend,
    "/unseal": open_secret,
    "/tunnels": tunnels,
    "/drop_agent": drop_agent,
    "/ready": ready,
}
