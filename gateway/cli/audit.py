"""`isthmus audit`: who used which account for what, and whether anybody changed that log."""

from typing import Annotated

import orjson
import typer

from gateway.api.parameters import moment
from gateway.cli.output import Data, Json, fail, run, show, show_rows
from gateway.cli.state import opened
from store.queries import audit as log

audit = typer.Typer(help="The audit log.", no_args_is_help=True)


@audit.command("list")
def list_rows(
    subject: Annotated[
        str | None, typer.Option(help="Only rows about this; an account's id, for one.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only rows by this one, as the log names it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many rows.")] = 100,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """The newest rows, the newest first."""

    async def work() -> list[dict[str, object]]:
        async with opened(data) as state, state.database.session() as session:
            return [
                {
                    "id": row.id,
                    "at": moment(row.at),
                    "actor": row.actor,
                    "action": row.action,
                    "subject": row.subject,
                    "detail": orjson.loads(row.detail) if as_json else row.detail,
                }
                for row in await log.latest(session, limit, subject=subject, actor=actor)
            ]

    show_rows("rows", run(work()), as_json)


@audit.command("verify")
def verify(data: Data = None, as_json: Json = False) -> None:
    """Checks every row of the log; ends with status 1 at the first one that was changed or is missing."""

    async def work() -> int:
        async with opened(data) as state, state.database.session() as session:
            try:
                return await log.verify(session)
            except log.BrokenChain as error:
                fail(str(error))

    show({"rows": run(work()), "intact": True}, as_json)
