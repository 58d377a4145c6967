"""Rows that tests begin with."""

import hashlib
from dataclasses import dataclass

from store.engine import Database
from store.queries import accounts, applications, developers, networks


def digest(text: str) -> bytes:
    """What the database knows a key, a token or an invitation by."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Tenant:
    """A developer with one application."""

    developer: int
    application: str


async def tenant(database: Database, name: str = "ann") -> Tenant:
    """A new one."""
    async with database.session() as session:
        developer = await developers.create(
            session, f"{name}@example.com", None, key_digest=digest(f"meta {name}"), key_sealed=b"sealed"
        )
        application = await applications.create(session, developer.id, f"{name}'s")
        return Tenant(developer.id, application.id)


async def account(
    database: Database,
    application: str,
    name: str = "files",
    *,
    service: str = "local",
    network: int | None = None,
) -> int:
    """The id of a new account."""
    async with database.session() as session:
        made = await accounts.create(
            session,
            application_id=application,
            service=service,
            display_name=name,
            network_id=network,
            credential=b"sealed",
        )
        return made.id


async def network(database: Database, name: str = "office") -> int:
    """The id of a new network."""
    async with database.session() as session:
        return (await networks.create(session, name)).id
