"""The counts in Prometheus' text format, version 0.0.4.

Each process is a series of its own, by the label `process`; its successor goes on with it. A counter that
begins anew, as all do with the gateway, is seen as that, which the sum of all would hide.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.proxy.counting.metrics import BOUNDS

_PREFIX: Final = "isthmus_proxy"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

# name, type, what it is, and the row's field
_PLAIN: Final = (
    ("sent_bytes_total", "counter", "Bytes of bodies to the store.", "up"),
    ("received_bytes_total", "counter", "Bytes of bodies from the store.", "down"),
    ("broken_total", "counter", "Requests that were let through and got no whole answer.", "broken"),
    ("passed_total", "counter", "Connections passed through without interception.", "passed"),
    ("connections", "gauge", "Open connections of clients.", "connections"),
    ("in_flight", "gauge", "Requests on their way.", "in_flight"),
)
_BY_KIND: Final = (
    ("answers_total", "status", "Whole answers of the store, by class of status.", "answered"),
    ("refused_total", "reason", "Requests that were not let through, by reason.", "refused"),
)
_SECONDS: Final = (
    ("first_byte_seconds", "From a request's head to the answer's.", "first_byte"),
    ("request_seconds", "From a request's head to the answer's end.", "whole"),
)

type Row = tuple[Mapping[str, str], Mapping[str, Any]]


def exposed(reports: Sequence[Mapping[str, Any]]) -> str:
    """The page. Every line ends; all of one name stand together, behind their HELP and TYPE."""
    rows: list[Row] = [(_labels(report, row), row) for report in reports for row in report["rows"]]
    lines = [*_head("clients", "gauge", "Connections of clients, whoever they are.")]
    lines += [_sample("clients", {"process": str(one["process"])}, one["clients"]) for one in reports]
    for name, kind, what, field in _PLAIN:
        lines += _head(name, kind, what)
        lines += [_sample(name, labels, row[field]) for labels, row in rows]
    for name, label, what, field in _BY_KIND:
        lines += _head(name, "counter", what)
        lines += [
            _sample(name, {**labels, label: kind}, count)
            for labels, row in rows
            for kind, count in row[field].items()
        ]
    for name, what, field in _SECONDS:
        lines += _head(name, "histogram", what)
        for labels, row in rows:
            lines += _histogram(name, labels, row[field])
    return "".join(f"{line}\n" for line in lines)


def _head(name: str, kind: str, what: str) -> Iterable[str]:
    return f"# HELP {_PREFIX}_{name} {what}", f"# TYPE {_PREFIX}_{name} {kind}"


def _histogram(name: str, labels: Mapping[str, str], value: Mapping[str, Any]) -> Iterator[str]:
    """Buckets count what is at most their bound, so each has those before it too."""
    total = 0
    for count, bound in zip(value["buckets"], (*map(str, BOUNDS), "+Inf"), strict=True):
        total += count
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, total)
    yield _sample(f"{name}_sum", labels, value["sum"])
    yield _sample(f"{name}_count", labels, total)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    written = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
    return f"{_PREFIX}_{name}{{{written}}} {value}"


def _labels(report: Mapping[str, Any], row: Mapping[str, Any]) -> Mapping[str, str]:
    account = row["account"]
    return {
        "process": str(report["process"]),
        "account": "" if account is None else str(account),
        "host": row["host"],
    }
