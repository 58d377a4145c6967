"""Connecting an account, changing and removing it: checked, sealed and noted, for API and command line."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from connectors.interface import Settings, StoreError
from gateway.access import tokens
from gateway.operations import AccountRef, Operations, WorkerUnavailable
from gateway.operations.errors import BadSettings
from store import envelope
from store.queries import accounts, audit, feeds
from store.queries import tokens as access_tokens
from store.tables import Account

LONGEST_NAME: Final = 512
"""Characters of what an account is called."""
_STORE_WITHIN: Final = 5.0
_SAID = {"missing": "is missing", "extra_forbidden": "is no setting of this connector"}


def checked(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """The connector's settings. Raises BadSettings for the first that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise first_fault(error) from None


def first_fault(error: ValidationError) -> BadSettings:
    """The first of pydantic's findings, without what was given."""
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    text = _SAID.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return BadSettings(f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {text}")


async def connect(
    session: AsyncSession,
    sealing: envelope.SealingKey,
    *,
    application_id: str,
    service: str,
    settings: Settings,
    network_id: int | None,
    display_name: str | None = None,
    actor: str,
) -> Account:
    """The new account, its settings sealed, with a row in the audit log."""
    made = await accounts.create(
        session,
        application_id=application_id,
        service=service,
        display_name=display_name or settings.display_name(),
        network_id=network_id,
        credential=b"",
    )
    context = envelope.Context("accounts", str(made.id), "credential")
    sealed = envelope.seal(orjson.dumps(settings.revealed()), context, sealing)
    await accounts.set_credential(session, made.id, sealed, revision=made.revision)
    await audit.append(session, actor, "account.add", str(made.id), {"service": service})
    await session.refresh(made)
    return made


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A Bearer token as it is shown, once."""

    id: int
    token: str = field(repr=False)


async def give_token(
    session: AsyncSession,
    sealing: envelope.SealingKey,
    account_id: int,
    *,
    expires: datetime | None = None,
) -> GivenToken:
    """A new Bearer token of the account: from now on known by its digest and its seal."""
    token = tokens.make()
    digest = tokens.digest(token)
    context = envelope.Context("access_tokens", digest.hex(), "sealed")
    sealed = envelope.seal(token.encode(), context, sealing)
    made = await access_tokens.create(session, account_id, digest, sealed, "all", expires)
    return GivenToken(made.id, token)


async def change(
    session: AsyncSession,
    account_id: int,
    fields: Mapping[str, object],
    settings: Collection[str],
    *,
    actor: str,
) -> None:
    """Sets an account's columns; notes that, and which settings the worker has changed, in the audit log.

    Its store is looked at soon.
    """
    if fields:
        await accounts.change(session, account_id, **fields)
    changed = {**fields, "settings": sorted(settings)} if settings else dict(fields)
    if changed:
        await audit.append(session, actor, "account.change", str(account_id), changed)
    await feeds.hurry(session, account_id)


async def remove(session: AsyncSession, account_id: int, *, actor: str) -> bool:
    """Whether it was there: it is gone, with its credential, tokens, tasks, links, properties and uploads."""
    gone = await accounts.remove(session, account_id)
    if gone:
        await audit.append(session, actor, "account.remove", str(account_id), {})
    return gone


async def abandon_uploads(operations: Operations, account_ids: Iterable[int]) -> None:
    """Drops what accounts that are to go have sent in parts; a store that is away keeps it."""
    with suppress(WorkerUnavailable, TimeoutError):
        async with asyncio.timeout(_STORE_WITHIN):
            for account_id in account_ids:
                with suppress(StoreError):
                    await operations.uploads.abandon_all(AccountRef(account_id, 0))
