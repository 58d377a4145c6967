"""`isthmus account check`, `change`, `remove`: what becomes of an account that is connected."""

from contextlib import suppress
from typing import Annotated

import typer

from connectors import registry
from connectors.interface import StoreError
from gateway.access import connecting
from gateway.cli.output import Data, Json, fail, run, show
from gateway.cli.settings_given import given
from gateway.cli.state import State, opened, require_account
from gateway.operations import AccountRef, WorkerUnavailable
from gateway.operations.errors import BadSettings
from store.tables import Account

OK = "ok"
_NOT_RUNNING = "the gateway is not running"


async def tried(state: State, account: AccountRef) -> str:
    """`ok`, or why the store could not be opened just now."""
    try:
        await state.operations.stat(account, "root")
    except WorkerUnavailable:
        return f"not tried: {_NOT_RUNNING}"
    except StoreError as error:
        return f"failed: {error.message}"
    return OK


def check(account_id: int, data: Data = None, as_json: Json = False) -> None:
    """Opens the account's store, and says whether that worked; the exit status is 1 when it did not."""

    async def work() -> str:
        async with opened(data) as state:
            async with state.database.session() as session:
                found = await require_account(session, account_id)
            return await tried(state, AccountRef(account_id, found.revision))

    checked = run(work())
    show({"id": account_id, "checked": checked}, as_json)
    if checked != OK:
        raise typer.Exit(1)


def change(
    account_id: int,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, key=value; key=@FILE reads a file, key=- standard input."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="How the account is called.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it may be used at all.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Changes settings (a new password, another host), the name, or whether it may be used.

    Settings are sealed for the worker, so the gateway has to run for those. The store is tried with them.
    """
    changes = given(set_ or [])
    if name is not None and not 0 < len(name) <= connecting.LONGEST_NAME:
        fail(f"--name takes 1 to {connecting.LONGEST_NAME} characters")
    fields = {"display_name": name, "enabled": enabled}
    fields = {column: value for column, value in fields.items() if value is not None}
    if not changes and not fields:
        fail("nothing is to be changed: give --set key=value, --name, --enable or --disable")

    async def work() -> dict[str, object]:
        async with opened(data) as state:
            async with state.database.session() as session:
                before = await require_account(session, account_id)
            if changes:
                await _amend(state, before, changes)
            async with state.database.session() as session:
                await connecting.change(session, account_id, fields, changes, actor="cli")
                after = await require_account(session, account_id)
            shown = {"id": account_id, "account": after.display_name, "enabled": after.enabled}
            if changes and after.enabled:
                shown["checked"] = await tried(state, AccountRef(account_id, after.revision))
            return shown

    show(run(work()), as_json)


def remove(
    account_id: int,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Disconnects an account: its credential, tokens, links and uploads go, the store's files stay."""

    async def work() -> None:
        async with opened(data) as state:
            async with state.database.session() as session:
                found = await require_account(session, account_id)
            if not yes:
                typer.confirm(
                    f"Disconnect {found.service} account {account_id}, {found.display_name}?", abort=True
                )
            await connecting.abandon_uploads(state.operations, [account_id])
            async with state.database.session() as session:
                if not await connecting.remove(session, account_id, actor="cli"):
                    fail(f"account {account_id} was removed by somebody else meanwhile")
            with suppress(WorkerUnavailable):  # then none has the account open
                await state.operations.forget(account_id)

    run(work())
    show({"id": account_id, "removed": True}, as_json)


async def _amend(state: State, account: Account, changes: dict[str, str]) -> None:
    taken = registry.require(account.service).settings.model_fields
    it_takes = f"It takes: {', '.join(sorted(taken))}"
    if wrong := sorted(changes.keys() - taken.keys()):
        fail(f"{account.service}: {wrong[0]}: is no setting of this connector. {it_takes}")
    try:
        await state.operations.amend(AccountRef(account.id, account.revision), changes)
    except WorkerUnavailable:
        fail(
            f"{_NOT_RUNNING}: settings are sealed, and only its worker opens them; 'isthmus serve' starts it"
        )
    except BadSettings as error:
        fail(f"{account.service}: {error.message}. {it_takes}")
    except StoreError as error:
        fail(error.message)
