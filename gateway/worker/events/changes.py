"""The one seam where what the gateway changes becomes events: each operation that changes a store is a row.

Events are written when the store has the change, before the caller hears of it: in the order in which changes
end. A change whose event can't be written is made all the same; the next crawl tells of it, namelessly.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson

from gateway.worker.desk import Arguments, Desk
from gateway.worker.events.comparing import types_of
from store.queries.events import Happened

_log = logging.getLogger(__name__)

type View = dict[str, Any]
type Change = tuple[int, str, View, View | None]
"""Account, type, the entry as it is, and as it was."""


def _written(arguments: Arguments, result: Any) -> Iterator[Change]:
    """Something new, or new bytes in its place; a folder that was there already is no change."""
    entry = result["entry"]
    if result["created"]:
        yield _here(arguments), "add", entry, None
    elif entry["type"] == "file":
        yield _here(arguments), "update", entry, None


def _replaced(arguments: Arguments, result: Any) -> Iterator[Change]:
    yield _here(arguments), "update", result, result.pop("previous")


def _completed(arguments: Arguments, result: Any) -> Iterator[Change]:
    yield _here(arguments), "update" if result.pop("replaced") else "add", result, None


def _moved(arguments: Arguments, result: Any) -> Iterator[Change]:
    previous = result.pop("previous", None)
    if previous is not None:
        yield _here(arguments), types_of(previous, result["entry"])[0], result["entry"], previous


def _copied(arguments: Arguments, result: Any) -> Iterator[Change]:
    yield result["account"], "copy", result["entry"], None


def _moved_across(arguments: Arguments, result: Any) -> Iterator[Change]:
    yield result["account"], "add", result["entry"], None
    yield _here(arguments), "delete", result.pop("previous"), None


def _deleted(arguments: Arguments, result: Any) -> Iterator[Change]:
    yield _here(arguments), "delete", result.pop("previous"), None


CHANGES: dict[str, Callable[[Arguments, Any], Iterator[Change]]] = {
    "/write": _written,
    "/fetch": _written,
    "/mkdir": _written,
    "/replace": _replaced,
    "/complete_upload": _completed,
    "/move": _moved,
    "/copy": _copied,
    "/move_across": _moved_across,
    "/delete": _deleted,
}
"""What a result tells. What is in it for events alone (`previous`, `replaced`) is taken out."""


async def followed(desk: Desk, path: str, arguments: Arguments, work: Awaitable[Any]) -> Any:
    """What the operation's work returns; its events are written by then."""
    change = CHANGES.get(path)
    if change is None:
        return await work
    target = arguments.get("target")
    with desk.feeds.changing([_here(arguments), *([target["id"]] if target else [])]):
        result = await work
        for account_id, kind, entry, previous in list(change(arguments, result)):
            await _tell(desk, arguments, account_id, kind, entry, previous)
    return result


async def _tell(
    desk: Desk, arguments: Arguments, account_id: int, kind: str, entry: View, previous: View | None
) -> None:
    try:
        if await desk.feeds.enabled(account_id):
            happened = Happened(
                kind,
                _packed(entry),
                None if previous is None else _packed(previous),
                ours=True,
                actor=arguments.get("actor"),
                ip=arguments.get("ip"),
            )
            await desk.feeds.append(account_id, [happened])
    except Exception:  # noqa: BLE001  the store is changed, whatever becomes of the event: its caller is told so
        _log.exception("an event could not be written", extra={"account": account_id, "operation": kind})


def _packed(entry: View) -> str:
    """Without the store's own description: what its caller asked for is not everybody's."""
    return orjson.dumps({**entry, "raw": None}).decode()


def _here(arguments: Arguments) -> int:
    account_id: int = arguments["account"]["id"]
    return account_id
