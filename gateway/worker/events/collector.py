"""Whose stores are looked through when: takes turns that are due, crawls, plans the next, drops what is old.

What is due is a row with a lease: a worker that is killed holds nothing up for longer than that, and of two
that take themselves for its holder the fence lets one write.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from connectors.interface import StoreError
from gateway.access.reads import reading
from gateway.operations import AccountRef
from gateway.worker.accounts import one_work
from gateway.worker.audit.trail import Trace
from gateway.worker.desk import Desk, busy
from gateway.worker.events.crawl import Crawl
from gateway.worker.groups import one_error
from store.envelope import unseal
from store.errors import Duplicate, Missing, Stale
from store.queries import events, feeds, tracked
from store.queries.feeds import Claim
from store.tables import now

_log = logging.getLogger(__name__)
_LOOK_EVERY = 1.0
_LEASE = timedelta(seconds=15)
_RENEW_EVERY = 5.0
_PLAN_EVERY = 10.0
_PURGE_EVERY = 3600.0
_AT_ONCE = 500
_LONGEST_PAUSE = 3600.0
_BUG = "the gateway failed; its log has the reason"


async def run(desk: Desk) -> None:
    """Until cancelled; crawls end then, and the next worker begins them again."""
    async with asyncio.TaskGroup() as group:
        purging = _at_times(
            purge, desk, min(_PURGE_EVERY, desk.collecting.kept), "removing old events failed"
        )
        planning = _at_times(plan, desk, min(_PLAN_EVERY, desk.collecting.interval), "planning crawls failed")
        group.create_task(purging, name="old events")
        group.create_task(planning, name="plans of crawls")
        running: set[asyncio.Task[None]] = set()
        while True:
            try:
                for turn in await turns(desk, desk.collecting.at_once - len(running)):
                    one = group.create_task(crawl(desk, turn), name=f"crawl of account {turn.account_id}")
                    running.add(one)
                    one.add_done_callback(running.discard)
            except Exception:  # noqa: BLE001  the task's root
                _log.exception("beginning crawls failed")
            await asyncio.sleep(min(_LOOK_EVERY, desk.collecting.interval))


async def turns(desk: Desk, limit: int) -> list[Claim]:
    """At most so many turns that are due, taken."""
    if limit < 1:
        return []
    async with reading(desk.database) as session:
        due = await feeds.due(session, limit)
    taken = []
    for account_id in due:
        async with desk.database.session() as session:
            if (turn := await feeds.claim(session, account_id, _LEASE)) is not None:
                taken.append(turn)
    return taken


async def _at_times(act: Callable[[Desk], Awaitable[None]], desk: Desk, every: float, failed: str) -> None:
    while True:
        try:
            await act(desk)
        except Exception:  # noqa: BLE001  the task's root
            _log.exception(failed)
        await asyncio.sleep(every)


async def plan(desk: Desk) -> None:
    """Accounts whose events are wanted for the first time, or again, are due."""
    async with reading(desk.database) as session:
        unplanned = await feeds.unplanned(session, _AT_ONCE)
    for account_id in unplanned:
        try:
            async with desk.database.session() as session:
                await feeds.plan(session, account_id)
        except (Missing, Duplicate):
            _log.info("an account went, or was planned, meanwhile", extra={"account": account_id})


async def crawl(desk: Desk, turn: Claim) -> None:
    """One crawl, and the plan for the next: later after a failure, and no sooner than this one took."""
    began = now()
    try:
        async with reading(desk.database) as session:
            wanted = await feeds.wanted(session, turn.account_id)
        if not wanted:
            await _rest(desk, turn)
            return
        entries = await _leased(desk, turn)
        pause = max(timedelta(seconds=desk.collecting.interval), now() - began)
        whole = {"baseline": True, "crawled": now(), "entries": entries, "failures": 0, "error": None}
        await _end(desk, turn, now() + pause, **whole)
    except Stale:
        _log.info("another worker crawls the account", extra={"account": turn.account_id})
    except (StoreError, ValueError, unseal.Unsealable) as error:  # ValueError: settings of another version
        why = error.message if isinstance(error, StoreError) else _BUG
        _log.warning("a crawl broke off", extra={"account": turn.account_id, "cause": type(error).__name__})
        await _failed(desk, turn, why)
    except Exception:  # noqa: BLE001  the task's root
        _log.exception("a crawl failed by a bug of ours", extra={"account": turn.account_id})
        await _failed(desk, turn, _BUG)


async def _leased(desk: Desk, turn: Claim) -> int:
    """The crawl's entries; the lease is renewed as long as it goes on."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                async with desk.database.session() as session:
                    await feeds.hold(session, turn, leased=now() + _LEASE)
            except Stale:
                raise
            except Exception:  # noqa: BLE001  the crawl may still have its turn: the fence tells
                _log.exception("a lease can't be made longer", extra={"account": turn.account_id})

    with one_error():
        async with asyncio.TaskGroup() as both:
            renewing = both.create_task(renew(), name="lease")
            with one_work():
                entries = await _crawled(desk, turn)
            renewing.cancel()
    return entries


async def _crawled(desk: Desk, turn: Claim) -> int:
    account = await desk.accounts.require(AccountRef(turn.account_id, 0))
    async with reading(desk.database) as session:
        feed = await events.feed(session, turn.account_id)
    if feed is None:
        raise Stale("the account is gone")
    looks = Trace(desk.trail, "/crawl", {"account": {"id": account.id}})  # a look of the gateway's own
    with busy(account), looks:
        return await Crawl.of(desk, account, turn, feed).run()


async def _rest(desk: Desk, turn: Claim) -> None:
    """No crawls for now. Where events are not wanted at all, what is tracked is forgotten: it grows old."""
    async with reading(desk.database) as session:
        enabled = await feeds.enabled(session, turn.account_id)
    if enabled:
        async with desk.database.session() as session:
            await feeds.hold(session, turn, leased=None, due=None)
        return
    numbers = [0]
    while numbers:
        async with desk.database.session() as session:
            await feeds.hold(session, turn, baseline=False, entries=0)
            numbers = list(await tracked.numbers(session, turn.account_id, 0, _AT_ONCE))
            await tracked.forget(session, turn.account_id, numbers)
    async with desk.database.session() as session:
        await feeds.hold(session, turn, leased=None, due=None, failures=0, error=None, crawled=None)


async def _failed(desk: Desk, turn: Claim, why: str) -> None:
    try:
        async with reading(desk.database) as session:
            feed = await events.feed(session, turn.account_id)
        failures = feed.failures + 1 if feed is not None else 1
        pause = min(_LONGEST_PAUSE, desk.collecting.interval * 2 ** min(failures, 16))
        longest = timedelta(seconds=max(pause, desk.collecting.interval))
        await _end(desk, turn, now() + longest, failures=failures, error=why)
    except Exception:  # noqa: BLE001  the lease ends by itself
        _log.exception("a crawl's failure can't be noted", extra={"account": turn.account_id})


async def _end(desk: Desk, turn: Claim, due: datetime, **told: object) -> None:
    async with desk.database.session() as session:
        await feeds.hold(session, turn, leased=None, due=due, **told)


async def purge(desk: Desk) -> None:
    """Removes events that are older than they are kept, some at a time."""
    before = now() - timedelta(seconds=desk.collecting.kept)
    last = 0
    while True:
        async with reading(desk.database) as session:
            accounts = await feeds.after(session, last, _AT_ONCE)
        if not accounts:
            return
        last = accounts[-1]
        for account_id in accounts:
            while await _purged(desk, account_id, before):
                pass


async def _purged(desk: Desk, account_id: int, before: datetime) -> int:
    async with desk.database.session() as session:
        return await events.purge(session, account_id, before, _AT_ONCE)
