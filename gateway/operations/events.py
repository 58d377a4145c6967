"""Events of accounts: what api and worker say to each other about them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from gateway.operations.messages import AccountRef, EntryView
from gateway.operations.uploads import Ask


@dataclass(frozen=True, slots=True)
class EventView:
    """One change: what the entry is now (deleted: was), what it was before where that is known.

    `actor` and `ip` are whose change it was, where the gateway made it.
    """

    sequence: int
    type: str
    at: datetime
    actor: str | None
    ip: str | None
    entry: EntryView
    previous: EntryView | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The view that the worker sent."""
        previous = value["previous"]
        return cls(
            sequence=value["sequence"],
            type=value["type"],
            at=datetime.fromisoformat(value["at"]),
            actor=value["actor"],
            ip=value["ip"],
            entry=EntryView.from_json(value["entry"]),
            previous=None if previous is None else EntryView.from_json(previous),
        )


@dataclass(frozen=True, slots=True)
class EventsView:
    """Some events behind number `after`, of a sequence that goes from behind `purged` to `head`.

    `crawled` is when the whole store was looked through last, `error` why that fails since.
    """

    events: list[EventView]
    after: int
    head: int
    purged: int
    crawled: datetime | None
    error: str | None


class Events:
    """Calls a worker about events."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def read(
        self,
        account: AccountRef,
        after: int | None,
        limit: int,
        *,
        wait: float = 0.0,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> EventsView:
        """At most `limit` events behind a number (None: the oldest), once there are any, or `wait` is over.

        There are none behind a number that is not one of the sequence's: nobody waits for those.
        """
        found = await self._ask(
            "events",
            account=account,
            after=after,
            limit=limit,
            wait=wait,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
        )
        crawled = found["crawled"]
        return EventsView(
            [EventView.from_json(one) for one in found["events"]],
            found["after"],
            found["head"],
            found["purged"],
            None if crawled is None else datetime.fromisoformat(crawled),
            found["error"],
        )
