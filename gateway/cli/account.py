"""`isthmus account`: connected stores."""

from typing import Annotated

import typer

from connectors import registry
from connectors.interface import Settings, Unsupported
from gateway.access import connecting
from gateway.cli import account_tokens, account_upkeep
from gateway.cli.account_upkeep import tried
from gateway.cli.output import Data, Json, fail, run, show, show_rows
from gateway.cli.settings_given import given
from gateway.cli.state import State, opened
from gateway.operations import AccountRef
from gateway.operations.errors import BadSettings
from store.queries import accounts, applications, networks

account = typer.Typer(help="Accounts: connected stores.", no_args_is_help=True)


@account.command("add")
def add(
    service: str,
    app: Annotated[str, typer.Option(help="The application's ID ('isthmus app list').")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, key=value; key=@FILE reads a file, key=- standard input."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="The private network that the store is in.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Connects an account; its settings are sealed. The store is tried at once when the gateway runs."""
    try:
        kind = registry.require(service)
    except Unsupported as error:
        why = registry.missing().get(service)
        fail(f"the {service} connector can't be used: {why}" if why else error.message)
    settings = _checked(service, kind.settings, given(set_ or []))

    async def work() -> dict[str, object]:
        async with opened(data) as state:
            added = await _add(state, service, app, settings, network)
            return {**added, "checked": await tried(state, AccountRef(int(str(added["id"])), 0))}

    show(run(work()), as_json)


@account.command("list")
def list_accounts(
    app: Annotated[str | None, typer.Option(help="Only this application's.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Every account with its ID, its store and its network; no secret and no token."""

    async def work() -> list[dict[str, object]]:
        async with opened(data) as state, state.database.session() as session:
            named = {found.id: found.name for found in await networks.every(session)}
            return [
                {
                    "id": found.id,
                    "service": found.service,
                    "account": found.display_name,
                    "network": None if found.network_id is None else named[found.network_id],
                    "app": found.application_id,
                    "works": found.enabled and found.active,
                }
                for found in await accounts.every(session, app)
            ]

    show_rows("accounts", run(work()), as_json)


account.command("check")(account_upkeep.check)
account.command("change")(account_upkeep.change)
account.command("remove")(account_upkeep.remove)
account.add_typer(account_tokens.token, name="token")


async def _add(
    state: State, service: str, app: str, settings: Settings, network: str | None
) -> dict[str, object]:
    async with state.database.session() as session:
        if await applications.fetch(session, app) is None:
            fail(f"there is no application {app}: 'isthmus app list' shows them")
        network_id = None
        if network is not None:
            found = await networks.by_name(session, network)
            if found is None:
                fail(f"there is no network {network}: run 'isthmus network create {network}' first")
            network_id = found.id
        made = await connecting.connect(
            session,
            state.sealing,
            application_id=app,
            service=service,
            settings=settings,
            network_id=network_id,
            actor="cli",
        )
        given_out = await connecting.give_token(session, state.sealing, made.id)
        return {"id": made.id, "service": service, "access_token": given_out.token}


def _checked(service: str, kind: type[Settings], given: dict[str, str]) -> Settings:
    try:
        return connecting.checked(kind, given)
    except BadSettings as error:
        fail(f"{service}: {error.message}. It takes: {', '.join(sorted(kind.model_fields))}")
