"""Lists of files and folders: one folder, whole trees, by name, by date; of several accounts together."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from connectors.interface import NotFound
from gateway.access import NotYours
from gateway.access.reads import reading
from gateway.api import parameters, resources
from gateway.api.call import Call, ref, resource
from gateway.api.errors import ApiError, invalid
from gateway.operations import PageView, RecentView
from store.queries import applications
from store.tables import Account

_MOST_PARENTS = 20
type Pages = Callable[[Account, str | None, int], Awaitable[PageView]]


async def contents(call: Call) -> Response:
    """A page of a folder, or of all that is below it; of several accounts one after the other."""
    operations = call.parts.operations
    whole = parameters.flag(call, "recursive") or False
    page_of = operations.tree if whole else operations.list

    async def pages(account: Account, cursor: str | None, limit: int) -> PageView:
        return await page_of(ref(account), call.entry_id, cursor, limit)

    merged = await _merged(call, await call.stores(), parameters.page_size(call, 1000), pages)
    return merged.listing(call, walked=whole)


async def search(call: Call) -> Response:
    """Entries by name; of several accounts one after the other."""
    accounts = await call.stores()
    query = call.query_params.get("q", "")
    if not query:
        raise invalid("q", "must not be empty")
    parents = _parents(call)
    found_in = set()

    async def pages(account: Account, cursor: str | None, limit: int) -> PageView:
        try:
            page = await call.parts.operations.search(ref(account), query, cursor, limit, parents=parents)
        except NotFound:
            if len(accounts) == 1:
                raise
            return PageView([], None)  # the folders are another account's
        found_in.add(account.id)
        return page

    merged = await _merged(call, accounts, parameters.page_size(call, 100), pages)
    if parents and merged.following is None and not found_in:
        raise NotYours
    return merged.listing(call, walked=True)


def _parents(call: Call) -> list[str]:
    given = [parent for parent in call.query_params.get("parents", "").split(",") if parent]
    if len(given) > _MOST_PARENTS:
        raise invalid("parents", f"may name at most {_MOST_PARENTS} folders")
    return given


@dataclass(slots=True)
class Merged:
    """Some entries, where to go on, and what was left out on the way."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    following: str | None = None
    stopped: str | None = None
    passed_over: int = 0

    def listing(self, call: Call, *, walked: bool) -> Response:
        """The envelope; of what was `walked` it says whether that was all."""
        facts: dict[str, object] = {}
        if walked:
            facts = _completeness(self.following, self.stopped, self.passed_over)
        page = _as_given(call)
        return resources.listing(self.objects, "storage", page=page, next_page=self.following, **facts)


async def _merged(call: Call, accounts: Sequence[Account], size: int, pages: Pages) -> Merged:
    """At most `size` entries from where `page` says on; goes to the next account when one has no more."""
    number, cursor = parameters.page_place(call)
    merged = Merged()
    deadline = time.monotonic() + call.parts.settings.walk_seconds
    while number < len(accounts) and len(merged.objects) < size:
        if time.monotonic() > deadline:
            break  # each account's walk is bounded; so are all of them together
        account = accounts[number]
        page = await pages(account, cursor, size - len(merged.objects))
        merged.objects += resources.entries(call, account, page.entries)
        merged.stopped = page.stopped
        merged.passed_over += page.passed_over
        cursor = page.next_cursor
        if cursor is None:
            number += 1
        elif not page.entries:
            break  # a store may give an empty page and go on: the client comes back, nothing spins here
        if page.stopped is not None:
            break
    merged.following = parameters.place_text(number, cursor) if number < len(accounts) else None
    return merged


def _as_given(call: Call) -> int | str:
    given = call.query_params.get("page", "1")
    return 1 if given in ("", "1") else given


def _completeness(following: object, stopped: str | None, passed_over: int) -> dict[str, object]:
    complete = following is None and stopped is None and not passed_over
    return {"complete": complete, "stopped": stopped, "passed_over": passed_over}


async def recent(call: Call) -> Response:
    """The files that were changed last, newest first; of several accounts in one order."""
    accounts = await call.stores()
    await _require_recent(call, accounts)
    size, page = parameters.page_size(call, 100), parameters.page_number(call)
    most = call.parts.settings.recent_entries
    start = (page - 1) * size
    if start >= most:
        raise NotYours
    found = RecentView([], 0)
    objects: list[tuple[Any, dict[str, Any]]] = []
    given = call.query_params.get("after")
    after = None if given is None else parameters.optional_moment(given)
    if given is None or after is not None:
        for account in accounts:
            one = await call.parts.operations.recent(ref(account), after, min(start + size, most))
            shown = resources.entries(call, account, one.entries)
            objects += zip((view.modified for view in one.entries), shown, strict=True)
            found = _added(found, one)
    total = min(found.total, most)
    if start and start >= total:
        raise NotYours
    newest = sorted(objects, key=lambda pair: pair[0], reverse=True)[start : min(start + size, total)]
    following = page + 1 if start + size < total else None
    return resources.listing(
        [shown for _, shown in newest],
        "storage",
        page=page,
        next_page=following,
        total=total,
        **_completeness(None, found.stopped, found.passed_over),
    )


def _added(sofar: RecentView, one: RecentView) -> RecentView:
    stopped = sofar.stopped or one.stopped
    return RecentView([], sofar.total + one.total, stopped, sofar.passed_over + one.passed_over)


async def _require_recent(call: Call, accounts: Sequence[Account]) -> None:
    """Raises a 403 that says how to switch it on, for an application that has not."""
    async with reading(call.parts.database) as session:
        for application_id in {account.application_id for account in accounts}:
            application = await applications.fetch(session, application_id)
            if application is None or not application.recent_enabled:
                how = f'PATCH {call.base}/meta/applications/{application_id} with {{"recent_enabled": true}}'
                raise ApiError(403, "forbidden", f"recent files are off for this application: {how}")


_STORAGE = "/v1/accounts/{accounts}/storage"
ROUTES = [
    resource(f"{_STORAGE}/folders/{{id}}/contents", GET=contents),
    resource(f"{_STORAGE}/search", GET=search),
    resource(f"{_STORAGE}/recent", GET=recent),
]
