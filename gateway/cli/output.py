"""How commands speak: one JSON object with `--json`, lines for people without; errors say what to do."""

import asyncio
import sys
from collections.abc import Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="ISTHMUS_DATA", help="The data folder (keys, settings, SQLite state)."),
]

_out = Console(soft_wrap=True, highlight=False)


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Ends the command with a message on standard error."""
    typer.echo(f"isthmus: {message}", err=True)
    raise typer.Exit(status)


def show(result: Mapping[str, Any], as_json: bool) -> None:
    """One result: a JSON object, or a line a field."""
    if as_json:
        sys.stdout.write(orjson.dumps(result, default=str).decode() + "\n")
        return
    for name, value in result.items():
        _out.print(f"{name}: {_said(value)}", markup=False)


def show_rows(name: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    """A list: `{name: [...]}` in JSON, else a table."""
    if as_json:
        sys.stdout.write(orjson.dumps({name: rows}, default=str).decode() + "\n")
        return
    if not rows:
        _out.print(f"no {name}")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(Text(_said(value)) for value in row.values()))  # as it is: no markup in it
    _out.print(table)


def _said(value: object) -> str:
    """A value for people: `-` for none, and no brackets."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ("\n" if any(isinstance(one, Mapping) for one in value) else ", ").join(
            map(_said, value)
        ) or "-"
    return str(value)


def written(at: datetime | None) -> str | None:
    """A time as it is printed: UTC, RFC 3339."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's asyncio part."""
    return asyncio.run(work)
