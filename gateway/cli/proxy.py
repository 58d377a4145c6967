"""`isthmus proxy`: the native proxy's tokens and its certificate authority."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from connectors.interface import Unsupported
from gateway.access import tokens
from gateway.access.native import require_native
from gateway.access.placeholders import placeholder
from gateway.access.scopes import BadScope, Scope
from gateway.cli import authority, node
from gateway.cli.output import Data, Json, fail, run, show, show_rows, written
from gateway.cli.state import State, opened, require_account
from store.queries import audit, proxy_tokens
from store.tables import ProxyToken

proxy = typer.Typer(help="The native proxy: tokens, certificate authority, metrics.", no_args_is_help=True)
token = typer.Typer(help="Tokens that may less than their account.", no_args_is_help=True)
proxy.add_typer(token, name="token")
proxy.add_typer(authority.authority, name="ca")


@proxy.command("node")
def node_module(as_json: Json = False) -> None:
    """Prints the module that leads programs of Node.js through the proxy, for where `isthmus exec` is not."""
    text = node.MODULE.read_text()
    if as_json:
        show({"file": str(node.MODULE), "module": text}, as_json)
        return
    typer.echo(text, nl=False)


@token.command("create")
def create(
    account: Annotated[int, typer.Option(help="The account's ID.")],
    host: Annotated[list[str] | None, typer.Option(help="Only this host, with a port or without.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this method.")] = None,
    path: Annotated[list[str] | None, typer.Option(help="Only this path and what is below it.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only methods that change nothing.")] = False,
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="How long it works; else until revoked.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for, to tell it from others.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Makes a token for the proxy; it is shown this once. Each option may be given several times."""
    try:
        scope = Scope.checked(host or (), method or (), path or (), read_only=read_only)
    except BadScope as error:
        fail(str(error))

    async def work() -> dict[str, Any]:
        async with opened(data) as state:
            return await issue(state, account, scope, hours=hours, name=name)

    show(run(work()), as_json)


@token.command("list")
def list_tokens(
    account: Annotated[int, typer.Option(help="The account's ID.")], data: Data = None, as_json: Json = False
) -> None:
    """The account's tokens that still work."""

    async def work() -> Sequence[ProxyToken]:
        async with opened(data) as state, state.database.session() as session:
            await require_account(session, account)
            return await proxy_tokens.of_account(session, account)

    show_rows("tokens", [_row(row) for row in run(work())], as_json)


@token.command("revoke")
def revoke(token_id: int, data: Data = None, as_json: Json = False) -> None:
    """Ends a token; within a second the proxy knows."""

    async def work() -> None:
        async with opened(data) as state:
            if not await end(state, token_id):
                fail(f"there is no token {token_id} that could be revoked")

    run(work())
    show({"id": token_id, "revoked": True}, as_json)


async def issue(
    state: State, account: int, scope: Scope, *, hours: float | None, name: str
) -> dict[str, Any]:
    """A new token, its id and its keys for S3's programs; ends the command when there is no such account."""
    made = tokens.make()
    expires = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    async with state.database.session() as session:
        try:
            require_native((await require_account(session, account)).service)
        except Unsupported as error:
            fail(f"account {account}: {error.message}")
        row = await proxy_tokens.create(
            session,
            account,
            tokens.digest(made),
            name=name,
            hosts=scope.hosts,
            methods=scope.methods,
            paths=scope.paths,
            read_only=scope.read_only,
            expires=expires,
        )
        await audit.append(session, "cli", "proxy_token.create", str(row.id), {"account": account})
        aws = asdict(placeholder(row.digest))
        return {"id": row.id, "account": account, "token": made, "aws": aws, "expires": written(expires)}


async def end(state: State, token_id: int) -> bool:
    """Whether there was such a token that worked; it works no more."""
    async with state.database.session() as session:
        ended = await proxy_tokens.revoke(session, token_id)
        if ended:
            await audit.append(session, "cli", "proxy_token.revoke", str(token_id), {})
        return ended


def _row(row: ProxyToken) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "hosts": json.loads(row.hosts),
        "methods": json.loads(row.methods),
        "paths": json.loads(row.paths),
        "read_only": row.read_only,
        "expires": written(row.expires),
    }
