"""What all proxy processes counted, those that ended included: the supervisor looks, and remembers.

A counter that was once shown does not go back while the supervisor runs: whatever is told was remembered
before, and what a process told last is added to what its successor counts from zero. One that is killed takes
along what it counted since the last look, some two seconds.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.proxy.counting import reports
from gateway.proxy.counting.metrics import Counts, Metrics, rows_of, summed
from gateway.proxy.counting.reports import Report

_LOOK_EVERY: Final = 2.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Remembered:
    """Of the processes with one number, one after the other: the last one's report, and the others' sum."""

    last: Report
    answers: bool = True
    ended: Metrics = field(default_factory=Metrics)

    def take(self, report: Report | None) -> None:
        """What the process tells now; None when it tells nothing, as it ended, or is slow."""
        self.answers = report is not None
        if report is None:
            return
        if report["started"] != self.last["started"]:
            for row in map(_at_rest, self.last["rows"]):
                self.ended.of(row["account"], row["host"]).plus(Counts.from_json(row))
        self.last = report

    def report(self) -> Report:
        """As if it had been one process; of one that does not answer nothing is open."""
        if self.answers:
            rows, clients = self.last["rows"], self.last["clients"]
        else:
            rows, clients = [_at_rest(row) for row in self.last["rows"]], 0
        total = summed([self.ended.to_json(), rows])
        return {**self.last, "clients": clients, "rows": rows_of(total)}


class Collector:
    """Keeps the counts of all processes that tell theirs in a folder, and tells them there itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, Remembered] = {}
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled. Without it each process is asked for its own counts."""
        try:
            async with reports.told(self._folder / reports.COLLECTED, self.report):
                while True:
                    await self._look()
                    await asyncio.sleep(_LOOK_EVERY)
        except Exception:  # noqa: BLE001  the task's root: no reason to end the gateway
            _log.exception("what ended proxies counted is not kept any more")

    async def report(self) -> Report:
        """The report of each number, as it is now."""
        await self._look()
        return {"reports": [self._known[number].report() for number in sorted(self._known)]}

    async def _look(self) -> None:
        """One at a time, so that no older report comes behind a newer one."""
        async with self._looking:
            places = reports.places(self._folder)
            async with asyncio.TaskGroup() as asking:
                asked = {number: asking.create_task(reports.asked(place)) for number, place in places.items()}
            for number, answer in asked.items():
                self._take(number, answer.result())
            for number in self._known.keys() - asked.keys():
                self._take(number, None)

    def _take(self, number: int, report: Report | None) -> None:
        if (known := self._known.get(number)) is not None:
            known.take(report)
        elif report is not None:
            self._known[number] = Remembered(report)


def _at_rest(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "connections": 0, "in_flight": 0}
