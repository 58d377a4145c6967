"""`isthmus mcp`: connected accounts as tools for AI agents. It needs a gateway's URL and a token."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer


def mcp(
    url: Annotated[str, typer.Option(envvar="ISTHMUS_URL", help="The gateway's URL.")],
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with an account's token in each line. Left out: ISTHMUS_TOKEN has them."),
    ] = None,
    account: Annotated[
        list[int] | None, typer.Option(help="An account that may be used. Left out: all that the token has.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Offer the tools that change something, too.")
    ] = False,
    http: Annotated[
        str | None,
        typer.Option(help="Serve streamable HTTP on PORT or HOST:PORT, at /mcp, instead of stdio."),
    ] = None,
    http_token_file: Annotated[
        Path | None, typer.Option(help="The token that HTTP clients must show; made if it isn't there.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which HTTP clients may call this server.")
    ] = None,
) -> None:
    """Serves files of connected accounts to AI agents (Model Context Protocol), read-only by default."""
    try:
        from gateway.mcp import main, settings
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed: pip install 'isthmus[mcp]' brings what this command needs")
    try:
        accounts = frozenset(account or ())
        read = settings.Settings(
            url=settings.gateway_url(url),
            authorization=settings.authorization(token_file, accounts),
            accounts=accounts,
            write=write,
            http=None if http is None else settings.listening(http, http_token_file, allow_host or ()),
        )
    except settings.BadSetting as error:
        _fail(str(error))
    if read.http is not None:
        typer.echo(f"Isthmus MCP  {read.http.url}", err=True)
    main.main(read)


def _fail(message: str) -> NoReturn:
    """Ends the command."""
    typer.echo(f"isthmus: {message}", err=True)
    raise SystemExit(1)


def alone() -> None:
    """`isthmus mcp` on a machine that has nothing of the gateway."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command("mcp")(mcp)
    app(sys.argv[2:], prog_name="isthmus mcp")
