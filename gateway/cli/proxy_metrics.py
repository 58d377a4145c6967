"""`isthmus proxy metrics` and `isthmus proxy top`: what the native proxy's processes count."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway import settings as gateway_settings
from gateway.cli.output import Data, Json, fail, show, show_rows
from gateway.proxy.counting import exposition, reports
from gateway.proxy.counting.metrics import BOUNDS, Counts, Pair, summed
from gateway.settings import Settings

_WINDOW: Final = 60.0  # seconds that the percentiles of the live view are of
_WIDE: Final = 200  # columns where there is no terminal: nothing is cut
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def metrics(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Prometheus' text format, each process by itself.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """What all proxy processes counted since each was started, by account and host."""
    if prometheus and as_json:
        fail("--prometheus and --json exclude each other")
    told = _reports(gateway_settings.load(data))
    if prometheus:
        typer.echo(exposition.exposed(told), nl=False)
        return
    total = summed(report["rows"] for report in told)
    if as_json:
        rows = [{"account": account, "host": host, **c.to_json()} for (account, host), c in total.items()]
        processes = [{name: report[name] for name in ("process", "started", "clients")} for report in told]
        show({"processes": processes, "bounds": BOUNDS, "rows": rows}, as_json)
        return
    show_rows("counts", [_line(pair, counts) for pair, counts in total.items()], as_json)


class Sort(StrEnum):
    """What the rows are sorted by, the largest first."""

    REQUESTS = "requests"
    UP = "up"
    DOWN = "down"
    IN_FLIGHT = "in-flight"
    ERRORS = "errors"
    P50 = "p50"
    P99 = "p99"


def top(
    sort: Annotated[Sort, typer.Option(help="Sort by this, the largest first.")] = Sort.REQUESTS,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two frames.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame, after one interval.")] = False,
    data: Data = None,
) -> None:
    """A live view of the native proxy, by account and host; Ctrl-C ends it.

    Requests, bytes and errors are of the last interval; the times to the first byte of the last minute, and
    with --once of all that the processes know.
    """
    settings = gateway_settings.load(data)
    samples = deque([_sample(settings)])
    if once:
        time.sleep(interval)
        console = Console()
        if not console.is_terminal:
            console.width = _WIDE
        console.print(fitting(console, _sample(settings), samples[0], None, sort))
        return
    ended = threading.Event()
    for signalled in (signal.SIGINT, signal.SIGTERM):  # between two frames: the terminal is left clean
        signal.signal(signalled, lambda *_: ended.set())
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not ended.wait(interval):
            now = _sample(settings)
            live.update(fitting(console, now, samples[-1], samples[0], sort), refresh=True)
            samples.append(now)
            while now.at - samples[0].at > _WINDOW:
                samples.popleft()


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts of all processes at a moment."""

    at: float
    processes: int
    clients: int
    total: Mapping[Pair, Counts]


@dataclass(frozen=True, slots=True)
class Row:
    """What one line of the view says; rates are a second's."""

    account: int | None
    host: str
    requests: float
    up: float
    down: float
    connections: int
    in_flight: int
    errors: float
    p50: float | None
    p99: float | None


_KEYS: Final[dict[Sort, Callable[[Row], float]]] = {
    Sort.REQUESTS: lambda row: row.requests,
    Sort.UP: lambda row: row.up,
    Sort.DOWN: lambda row: row.down,
    Sort.IN_FLIGHT: lambda row: row.in_flight,
    Sort.ERRORS: lambda row: row.errors,
    Sort.P50: lambda row: row.p50 or 0.0,
    Sort.P99: lambda row: row.p99 or 0.0,
}


_CELLS: Final[dict[str, Callable[[Row], str]]] = {
    "req/s": lambda row: f"{row.requests:.1f}",
    "up/s": lambda row: _size(row.up),
    "down/s": lambda row: _size(row.down),
    "conns": lambda row: str(row.connections),
    "in flight": lambda row: str(row.in_flight),
    "err/s": lambda row: f"{row.errors:.1f}",
    "p50": lambda row: _milliseconds(row.p50),
    "p99": lambda row: _milliseconds(row.p99),
}
_LEFT_OUT: Final = ("conns", "p50", "in flight", "err/s", "p99", "up/s", "down/s")  # one by one, if narrow


def fitting(console: Console, now: Sample, before: Sample, window: Sample | None, sort: Sort) -> Table:
    """The view with as many columns as the terminal has room for."""
    for count in range(len(_LEFT_OUT) + 1):
        table = frame(now, before, window, sort, without=_LEFT_OUT[:count])
        if console.measure(table, options=console.options.update(width=_WIDE)).maximum <= console.width:
            break
    return table


def frame(
    now: Sample, before: Sample, window: Sample | None, sort: Sort, *, without: Sequence[str] = ()
) -> Table:
    """The view: rates since `before`, times since `window` (None: since the processes started)."""
    columns = {name: cell for name, cell in _CELLS.items() if name not in without}
    title = f"proxy processes: {now.processes}, connections: {now.clients}"
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False)
    for name in ("account", "host"):
        table.add_column(name, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    rows = [_row(pair, counts, now, before, window) for pair, counts in now.total.items()]
    for row in sorted(rows, key=_KEYS[sort], reverse=True):
        place = ("-" if row.account is None else str(row.account), row.host)
        cells = (*place, *(cell(row) for cell in columns.values()))
        table.add_row(*map(Text, cells))  # as it is: no markup in it
    return table


def _row(pair: Pair, counts: Counts, now: Sample, before: Sample, window: Sample | None) -> Row:
    seconds = max(now.at - before.at, 0.001)
    recent = _since(counts, before.total.get(pair))
    times = _since(counts, window.total.get(pair) if window else None).first_byte
    return Row(
        *pair,
        requests=recent.requests / seconds,
        up=recent.up / seconds,
        down=recent.down / seconds,
        connections=counts.connections,
        in_flight=counts.in_flight,
        errors=recent.errors / seconds,
        p50=times.quantile(0.5),
        p99=times.quantile(0.99),
    )


def _since(now: Counts, before: Counts | None) -> Counts:
    """What came to pass in between; a process that began anew in it counts from its beginning."""
    found = Counts()
    found.plus(now)
    if before is not None and before.requests <= now.requests:
        found.plus(before, sign=-1)
    return found


def _sample(settings: Settings) -> Sample:
    told = _reports(settings)
    clients = sum(report["clients"] for report in told)
    return Sample(time.monotonic(), len(told), clients, summed(report["rows"] for report in told))


def _reports(settings: Settings) -> Sequence[reports.Report]:
    """Ends the command when no process tells anything."""
    folder = settings.data / "run"
    try:
        told = reports.gathered(folder)
    except PermissionError:
        fail(f"{folder} is not for this user: run it as the proxy's, or as one of its group")
    if not told:
        fail("no proxy runs here: start the gateway with 'isthmus serve --proxy-port PORT'")
    return told


def _line(pair: Pair, counts: Counts) -> dict[str, Any]:
    """For people."""
    return {
        "account": "-" if pair[0] is None else pair[0],
        "host": pair[1],
        "requests": counts.requests,
        "answered": _kinds(counts.answered.items()),
        "refused": _kinds(counts.refused.items()),
        "broken": counts.broken,
        "passed": counts.passed,
        "up": _size(counts.up),
        "down": _size(counts.down),
        "connections": counts.connections,
        "in flight": counts.in_flight,
        "p50": _milliseconds(counts.first_byte.quantile(0.5)),
        "p99": _milliseconds(counts.first_byte.quantile(0.99)),
    }


def _kinds(items: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{kind}:{count}" for kind, count in sorted(items)) or "-"


def _size(size: float) -> str:
    power = 0
    while abs(size) >= 1024 and power < len(_UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.0f} B" if power == 0 else f"{size:.1f} {_UNITS[power]}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
