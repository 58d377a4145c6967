"""`isthmus account token`: the access tokens with which programs use an account."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from gateway.access import connecting
from gateway.cli.output import Data, Json, fail, run, show, show_rows, written
from gateway.cli.state import opened, require_account
from store.queries import audit, tokens

token = typer.Typer(help="Access tokens, each for one account.", no_args_is_help=True)
_Account = Annotated[int, typer.Option(help="The account's ID.")]


@token.command("create")
def create(
    account: _Account,
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="How long it works; else until revoked.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Makes one more token of the account; it is shown this once."""
    expires = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)

    async def work() -> dict[str, Any]:
        async with opened(data) as state, state.database.session() as session:
            await require_account(session, account)
            made = await connecting.give_token(session, state.sealing, account, expires=expires)
            await audit.append(session, "cli", "access_token.create", str(made.id), {"account": account})
            return {
                "id": made.id,
                "account": account,
                "access_token": made.token,
                "expires": written(expires),
            }

    show(run(work()), as_json)


@token.command("list")
def list_tokens(account: _Account, data: Data = None, as_json: Json = False) -> None:
    """The account's tokens that still work, without what they are."""

    async def work() -> list[dict[str, Any]]:
        async with opened(data) as state, state.database.session() as session:
            await require_account(session, account)
            return [
                {"id": found.id, "created": written(found.created), "expires": written(found.expires)}
                for found in await tokens.of_account(session, account)
            ]

    show_rows("tokens", run(work()), as_json)


@token.command("revoke")
def revoke(token_id: int, data: Data = None, as_json: Json = False) -> None:
    """Ends a token; within a second the gateway knows."""

    async def work() -> None:
        async with opened(data) as state, state.database.session() as session:
            if not await tokens.revoke(session, token_id):
                fail(f"there is no token {token_id} that works: see 'isthmus account token list'")
            await audit.append(session, "cli", "access_token.revoke", str(token_id), {})

    run(work())
    show({"id": token_id, "revoked": True}, as_json)
