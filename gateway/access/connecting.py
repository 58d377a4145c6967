"""Connecting an account: what was given is checked, sealed and noted, for the API and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from connectors.interface import Settings
from gateway.access import tokens
from gateway.operations.errors import BadSettings
from store import envelope
from store.queries import accounts, audit
from store.queries import tokens as access_tokens
from store.tables import Account

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
