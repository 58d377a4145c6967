"""A measurement as people read it."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Line:
    """One comparison. `ratio` is ours to the peer's; the target is a bound on it, or on `ours` itself."""

    what: str
    ratio: float | None
    target: str = ""
    reached: bool | None = None
    note: str = ""

    def markdown(self) -> str:
        """A table's row."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        outcome = {None: "", True: "reached", False: "**missed**"}[self.reached]
        return f"| {self.what} | {ratio} | {self.target} | {outcome} | {self.note} |"


def at_least(what: str, ratio: float, bound: float, note: str = "") -> Line:
    """More is better."""
    return Line(what, ratio, f">= {bound:g}", ratio >= bound, note)


def at_most(what: str, ratio: float, bound: float, note: str = "") -> Line:
    """Less is better."""
    return Line(what, ratio, f"<= {bound:g}", ratio <= bound, note)


def shown(what: str, ratio: float, note: str = "") -> Line:
    """Without a target."""
    return Line(what, ratio, note=note)


def ratio_of_rates(ours: list[float], theirs: list[float]) -> float:
    """How many times our throughput theirs is, from seconds for the same work: medians."""
    return median(theirs) / median(ours)
