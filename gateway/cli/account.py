"""`isthmus account`: connected stores."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import ValidationError

from connectors import registry
from connectors.interface import Settings, StoreError, Unsupported
from gateway.access import tokens
from gateway.cli.output import Data, Json, fail, run, show
from gateway.cli.state import State, opened
from gateway.operations import AccountRef, WorkerUnavailable
from store import envelope
from store.queries import accounts, applications, audit, networks
from store.queries import tokens as access_tokens

account = typer.Typer(help="Accounts: connected stores.", no_args_is_help=True)


@account.command("add")
def add(
    service: str,
    app: Annotated[str, typer.Option(help="The application's ID.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, key=value; key=@FILE reads a file, key=- standard input."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="The private network that the store is in.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Connects an account; its settings are sealed. Tried at once when the gateway runs."""
    try:
        kind = registry.require(service)
    except Unsupported as error:
        why = registry.missing().get(service)
        fail(f"the {service} connector can't be used: {why}" if why else error.message)
    settings = _checked(service, kind.settings, _given(set_ or []))

    async def work() -> dict[str, object]:
        async with opened(data) as state:
            added = await _add(state, service, app, settings, network)
            return {**added, "checked": await _try(state, int(str(added["id"])))}

    show(run(work()), as_json)


async def _add(
    state: State, service: str, app: str, settings: Settings, network: str | None
) -> dict[str, object]:
    async with state.database.session() as session:
        if await applications.fetch(session, app) is None:
            fail(f"there is no application {app}: 'isthmus app create' prints the ID")
        network_id = None
        if network is not None:
            found = await networks.by_name(session, network)
            if found is None:
                fail(f"there is no network {network}: run 'isthmus network create {network}' first")
            network_id = found.id
        made = await accounts.create(
            session,
            application_id=app,
            service=service,
            display_name=settings.display_name(),
            network_id=network_id,
            credential=b"",
        )
        context = envelope.Context("accounts", str(made.id), "credential")
        sealed = envelope.seal(orjson.dumps(settings.revealed()), context, state.sealing)
        await accounts.set_credential(session, made.id, sealed, revision=made.revision)
        token = tokens.make()
        digest = tokens.digest(token)
        token_context = envelope.Context("access_tokens", digest.hex(), "sealed")
        await access_tokens.create(
            session, made.id, digest, envelope.seal(token.encode(), token_context, state.sealing), "all", None
        )
        await audit.append(session, "cli", "account.add", str(made.id), {"service": service})
        return {"id": made.id, "service": service, "access_token": token}


async def _try(state: State, account_id: int) -> str:
    """`ok`, or why the store could not be opened just now; the account stays either way."""
    try:
        await state.operations.stat(AccountRef(account_id, 0), "root")
    except WorkerUnavailable:
        return "not tried: the gateway is not running"
    except StoreError as error:
        return f"failed: {error.message}"
    return "ok"


def _given(pairs: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            fail(f"--set takes key=value, and {key!r} has no '='")
        if value == "-":
            value = sys.stdin.read().rstrip("\n")
        elif value.startswith("@"):
            try:
                value = Path(value[1:]).read_text()
            except OSError as error:
                fail(f"--set {key}=@FILE: {error.strerror}: {value[1:]}")
        given[key] = value
    return given


def _checked(service: str, kind: type[Settings], given: dict[str, str]) -> Settings:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        known = ", ".join(sorted(kind.model_fields))
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        fail(f"{service}: {wrong}. It takes: {known}")
