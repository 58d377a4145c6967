"""Events of an account: what changed in its store, by cursor (API.md 5)."""

import re
from datetime import datetime
from typing import Any

from starlette.responses import Response

from gateway.access import NotYours
from gateway.access.reads import reading
from gateway.api import errors, parameters, resources
from gateway.api.call import Call, ref, resource
from gateway.api.errors import ApiError, invalid
from gateway.operations import EventsView, EventView
from store.queries import applications
from store.tables import Account

_CURSOR = re.compile(r"[0-9]{1,18}")
_LONGEST_WAIT = 60


async def index(call: Call) -> Response:
    """Events behind the cursor, oldest first; none: the oldest that are kept."""
    account = await _collected(call)
    after = _cursor(call)
    page = await call.parts.operations.events.read(
        ref(account),
        after,
        parameters.page_size(call, 100),
        wait=_wait(call),
        since=_moment(call, "from"),
        until=_moment(call, "until"),
    )
    if not page.purged <= page.after <= page.head:
        return _gone(page)
    last = page.events[-1].sequence if page.events else page.after
    return resources.listing(
        [_event(call, account, one) for one in page.events],
        "events",
        cursor=last,
        remaining=max(page.head - last, 0),
        collection={"crawled": parameters.moment(page.crawled), "error": page.error},
    )


async def latest(call: Call) -> Response:
    """The cursor behind which there is nothing yet."""
    account = await _collected(call)
    page = await call.parts.operations.events.read(ref(account), None, 0)
    return resources.send({"cursor": page.head})


async def activity(call: Call) -> Response:
    """The same events, as the Activity API names them; an account has one subscription."""
    if call.path_params["subscription"] != "default":
        await call.accounts()
        raise NotYours
    return await index(call)


async def _collected(call: Call) -> Account:
    """The one account in the path. Raises a 403 that says how, where events are not switched on."""
    account = await call.store()
    async with reading(call.parts.database) as session:
        application = await applications.fetch(session, account.application_id)
    if application is None or not application.events_enabled:
        how = f'PATCH {call.base}/meta/applications/{account.application_id} with {{"events_enabled": true}}'
        raise ApiError(403, "forbidden", f"events are off for this application: {how}")
    return account


def _gone(page: EventsView) -> Response:
    """410 with the cursor from which on nothing kept is missed."""
    fresh = page.purged if page.after < page.purged else page.head
    why = "the events behind this cursor are not kept any more: go on from the one that is given here"
    shown = errors.fields(410, "gone", why, None)
    return resources.send({**shown, "cursor": fresh}, 410)


def _cursor(call: Call) -> int | None:
    given = call.query_params.get("cursor", "")
    if not given:
        return None
    if not _CURSOR.fullmatch(given):
        raise invalid("cursor", "must be a number: the cursor of an answer")
    return int(given)


def _wait(call: Call) -> int:
    given = call.query_params.get("wait", "0")
    if not (given.isascii() and given.isdigit() and len(given) < 4 and int(given) <= _LONGEST_WAIT):
        raise invalid("wait", f"must be a number of seconds from 0 to {_LONGEST_WAIT}")
    return int(given)


def _moment(call: Call, name: str) -> datetime | None:
    given = call.query_params.get(name)
    if given is None:
        return None
    if (at := parameters.optional_moment(given)) is None:
        raise invalid(name, "must be a date in ISO 8601, such as 2030-01-31T12:00:00Z")
    return at


def _event(call: Call, account: Account, event: EventView) -> dict[str, Any]:
    metadata = resources.entry(call, account, event.entry)
    previous = None if event.previous is None else resources.entry(call, account, event.previous)
    return {
        # of a delete the object's: there is nothing else left to name
        "id": metadata["id"] if event.type == "delete" else str(event.sequence),
        "type": event.type,
        "api": "storage",
        "account": account.id,
        "href": f"{call.base}/accounts/{account.id}/events?cursor={event.sequence - 1}&page_size=1",
        "cursor": event.sequence,
        "modified": parameters.moment(event.at),
        "user": event.actor,
        "ip": event.ip,
        "metadata": metadata,
        "previous_metadata": previous,
    }


ROUTES = [
    resource("/v1/accounts/{accounts}/events", GET=index),
    resource("/v1/accounts/{accounts}/events/latest", GET=latest),
    resource("/v2/accounts/{accounts}/subscriptions/{subscription}/activity", GET=activity),
]
