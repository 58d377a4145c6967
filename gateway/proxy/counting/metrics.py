"""What the proxy counts, by account and host: pure counters, their JSON, and their sum over processes.

Bounded whatever clients ask for: an account has at most 32 hosts, a process at most 4,096 pairs; what is
beyond stands under the host "other", and at last under no account.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histograms' buckets, in seconds; one more bucket has what took longer."""
OTHER: Final = "other"
_MOST_HOSTS = 32
_MOST_PAIRS = 4096
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,260}")  # what no terminal and no label is surprised by
_REASONS: Final = {
    400: "malformed",
    401: "token",
    403: "not_allowed",
    404: "not_found",
    407: "token",
    421: "mismatch",
    429: "throttled",
    501: "unsupported",
    502: "store",
    503: "unavailable",
    504: "store",
}

type Pair = tuple[int | None, str]


def reason(status: int, *, gave_token: bool) -> str:
    """The kind of a refusal with this status; a 407 to a client that only asked what is wanted is `asked`."""
    if status == 407 and not gave_token:
        return "asked"
    return _REASONS.get(status, "failed")


@dataclass(slots=True)
class Histogram:
    """Seconds, by `BOUNDS`."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def quantile(self, part: float) -> float | None:
        """Seconds that this part of all (0.5: half) took at most, straight within a bucket; None of nothing.

        In the last bucket, which has no end, it is the end of the one before.
        """
        left = part * sum(self.buckets)
        if not left:
            return None
        for count, low, high in zip(self.buckets, (0.0, *BOUNDS), (*BOUNDS, BOUNDS[-1]), strict=True):
            if count >= left:
                return low + (high - low) * left / count
            left -= count
        return BOUNDS[-1]

    def plus(self, other: Self, sign: int = 1) -> None:
        """Adds another's counts, or takes them away."""
        self.buckets = [mine + sign * its for mine, its in zip(self.buckets, other.buckets, strict=True)]
        self.sum += sign * other.sum


@dataclass(slots=True)
class Counts:
    """Of one account at one host, since the process started.

    Attributes:
        answered: whole answers of the store, by class of status (`2xx`).
        refused: requests and CONNECTs that were not let through, by kind of reason.
        broken: requests that were let through and got no whole answer.
        passed: connections that were passed through without interception.
        up, down: bytes of bodies to the store and from it, as they stream; of what is passed through, all.
        connections: of clients, now.
        in_flight: requests, now.
        first_byte, whole: from a request's head to the answer's head, and to its end.
    """

    answered: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    passed: int = 0
    up: int = 0
    down: int = 0
    connections: int = 0
    in_flight: int = 0
    first_byte: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)

    def answer(self, status: int, first_byte: float, whole: float) -> None:
        """A request got its whole answer, after these seconds."""
        kind = f"{status // 100}xx"
        self.answered[kind] = self.answered.get(kind, 0) + 1
        self.first_byte.add(first_byte)
        self.whole.add(whole)

    def refuse(self, kind: str) -> None:
        """A request was not let through."""
        self.refused[kind] = self.refused.get(kind, 0) + 1

    @property
    def requests(self) -> int:
        """All that ended, whichever way."""
        return sum(self.answered.values()) + sum(self.refused.values()) + self.broken

    @property
    def errors(self) -> int:
        """Of these, what no program wants."""
        failed = sum(count for kind, count in self.answered.items() if kind in ("4xx", "5xx"))
        return failed + sum(self.refused.values()) + self.broken

    def plus(self, other: Self, sign: int = 1) -> None:
        """Adds another's counts, or takes them away."""
        for mine, its in ((self.answered, other.answered), (self.refused, other.refused)):
            for kind, count in its.items():
                mine[kind] = mine.get(kind, 0) + sign * count
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))
        self.first_byte.plus(other.first_byte, sign)
        self.whole.plus(other.whole, sign)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "requests": self.requests,
            "answered": self.answered,
            "refused": self.refused,
            **{name: getattr(self, name) for name in _NUMBERS},
            "first_byte": {"buckets": self.first_byte.buckets, "sum": self.first_byte.sum},
            "whole": {"buckets": self.whole.buckets, "sum": self.whole.sum},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        made = cls(dict(value["answered"]), dict(value["refused"]))
        for name in _NUMBERS:
            setattr(made, name, value[name])
        made.first_byte = Histogram(**value["first_byte"])
        made.whole = Histogram(**value["whole"])
        return made


_NUMBERS: Final = ("broken", "passed", "up", "down", "connections", "in_flight")


@dataclass(slots=True)
class Traffic:
    """Bytes of one request or passage, as they stream: its own, and its account's at its host."""

    counts: Counts = field(default_factory=Counts)
    up: int = 0
    down: int = 0

    def sent(self, size: int) -> None:
        """Went to the store."""
        self.up += size
        self.counts.up += size

    def received(self, size: int) -> None:
        """Came from the store."""
        self.down += size
        self.counts.down += size


class Metrics:
    """One process's counts."""

    def __init__(self) -> None:
        self._pairs: dict[Pair, Counts] = {}
        self._hosts: dict[int | None, int] = {}

    def of(self, account: int | None, host: str) -> Counts:
        """The counts of this account (None: nobody was named) at this host, to be added to."""
        return self._pairs.get((account, host)) or self._new(account, host)

    def _new(self, account: int | None, host: str) -> Counts:
        hosts = self._hosts.get(account, 0)
        if len(self._pairs) >= _MOST_PAIRS:
            return self._pairs.setdefault((None, OTHER), Counts())
        if hosts >= _MOST_HOSTS or not _HOST.fullmatch(host):
            return self._pairs.setdefault((account, OTHER), Counts())
        self._hosts[account] = hosts + 1
        return self._pairs.setdefault((account, host), Counts())

    def to_json(self) -> list[dict[str, Any]]:
        """A row for each account and host."""
        return rows_of(self._pairs)


def rows_of(pairs: Mapping[Pair, Counts]) -> list[dict[str, Any]]:
    """A row for each account and host."""
    return [
        {"account": account, "host": host, **counts.to_json()} for (account, host), counts in pairs.items()
    ]


def summed(processes: Iterable[Sequence[dict[str, Any]]]) -> dict[Pair, Counts]:
    """The counts of all processes, from their rows."""
    total: dict[Pair, Counts] = {}
    for rows in processes:
        for row in rows:
            total.setdefault((row["account"], row["host"]), Counts()).plus(Counts.from_json(row))
    return total
