"""`isthmus events`: what changed in the store of an account, and how looking for it goes."""

from typing import Annotated, Any

import orjson
import typer

from gateway.access.reads import reading
from gateway.cli.output import Data, Json, run, show, show_rows
from gateway.cli.state import opened, require_account
from store.queries import events as queries
from store.tables import Event, Feed

events = typer.Typer(help="Events: what changed in the stores of accounts.", no_args_is_help=True)


@events.command("list")
def list_events(
    account: int,
    cursor: Annotated[int, typer.Option(min=0, help="Those behind this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Lists an account's events, the oldest first."""

    async def work() -> list[dict[str, Any]]:
        async with opened(data) as state, reading(state.database) as session:
            await require_account(session, account)
            return [_shown(row) for row in await queries.page(session, account, cursor, limit)]

    show_rows("events", run(work()), as_json)


@events.command("status")
def status(account: int, data: Data = None, as_json: Json = False) -> None:
    """Shows how far an account's events are, when its store was looked through, and what hinders that."""

    async def work() -> dict[str, Any]:
        async with opened(data) as state, reading(state.database) as session:
            await require_account(session, account)
            feed = await queries.feed(session, account) or Feed(head=0, purged=0, failures=0, entries=0)
            shown = ("head", "purged", "entries", "crawled", "due", "failures", "error")
            return {"account": account, **{name: getattr(feed, name) for name in shown}}

    show(run(work()), as_json)


def _shown(row: Event) -> dict[str, Any]:
    return {
        "cursor": row.sequence,
        "at": row.at,
        "type": row.type,
        "path": orjson.loads(row.entry)["path"],
        "by": row.actor,
        "ip": row.ip,
    }
