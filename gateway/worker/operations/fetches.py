"""The operation that uploads from a URL."""

from contextlib import aclosing
from typing import Any

from connectors.interface import Kind
from gateway.operations import Conflict
from gateway.worker.content import transfers
from gateway.worker.desk import Arguments, Desk, Long, busy, view
from gateway.worker.tasks import Progress


async def fetch(desk: Desk, arguments: Arguments, progress: Progress) -> Any:
    """A new file with what a URL gives, straight from its server to the store."""
    account = await desk.account(arguments)
    parent, _ = account.ids.read(arguments["parent_id"], Kind.FOLDER)
    with busy(account):
        async with (
            desk.fetcher.open(arguments["url"]) as fetched,
            aclosing(progress.counted(fetched.chunks)) as chunks,
        ):
            progress.total = fetched.size
            entry, created = await transfers.write(
                account.connector,
                parent,
                arguments["name"],
                chunks,
                size=fetched.size,
                conflict=Conflict(arguments["conflict"]),
            )
    progress.entries = 1
    return {"entry": view(account, entry).to_json(), "account": account.id, "created": created}


LONG: dict[str, Long] = {"/fetch": fetch}
