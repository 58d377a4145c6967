"""What commands share: the settings, the state, the public key, and a worker when one runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from gateway import settings as gateway_settings
from gateway.cli.output import fail
from gateway.operations import Operations, Wishes, wishes
from gateway.settings import Settings
from store import envelope, version
from store.engine import Database, open_database
from store.errors import Outdated
from store.queries import accounts
from store.tables import Account


@dataclass(frozen=True, slots=True)
class State:
    """An initialised data folder, opened."""

    settings: Settings
    database: Database
    sealing: envelope.SealingKey
    operations: Operations


@asynccontextmanager
async def opened(data: Path | None) -> AsyncIterator[State]:
    """The state of a data folder; ends the command with a hint when it is not ready for this version."""
    settings = gateway_settings.load(data)
    if not (settings.keys / "sealing.pub.pem").exists():
        fail(f"{settings.data} has no keys yet: run 'isthmus init --data {settings.data}' first")
    database = open_database(settings.database_url)
    operations = Operations(settings.worker_socket, settings.calls_socket)
    wishes.current.set(Wishes(actor="cli"))
    try:
        await version.require_current(database)
        yield State(
            settings, database, envelope.SealingKey.load(settings.keys / "sealing.pub.pem"), operations
        )
    except Outdated as error:
        fail(str(error))
    finally:
        await operations.aclose()
        await database.aclose()


async def require_account(session: AsyncSession, account: int) -> Account:
    """The account; ends the command when there is none."""
    found = await accounts.fetch(session, account)
    if found is None:
        fail(f"there is no account {account}: 'isthmus account list' shows them")
    return found
