"""What the audit log has of every operation on an account, whose credential it uses.

A transfer or a change is a row of its own. Looks (stat, list, search and the like) come by the thousand a
second: a row tells how many of each one caller made on one account within a minute. `uses` writes the rows
behind; a worker that is killed loses those of its last second, and the looks of its last minute.

No row has a name or a path: public ids stand there by their digest, which is found again from an id.
"""

import asyncio
import hashlib
from typing import Any, Final, Self

from gateway import telemetry
from gateway.worker.audit.uses import Uses
from store.queries.audit import Act

_LOOKS_EVERY = 60.0
_MOST_LOOKS = 10_000

ROWS: Final = frozenset(
    {
        *("/read", "/write", "/replace", "/fetch", "/copy", "/move", "/move_across", "/mkdir", "/delete"),
        *("/start_task", "/begin_upload", "/complete_upload", "/abandon_upload", "/upload_url"),
        *("/set_properties", "/clear_properties", "/set_permissions"),
    }
)
"""Operations that are rows of their own; any other on an account is counted, parts of uploads too."""
_ELSEWHERE = frozenset({"/raw", "/grant"})  # `grants` notes each authorisation, before it is given


class Trace:
    """One operation, noted when it is left, however that is.

    Attributes:
        passed: bytes that were read.
        result: what it answered.
        outcome: `ok`, or the name of what ended it.
    """

    __slots__ = ("_arguments", "_path", "_trail", "outcome", "passed", "result")

    def __init__(self, trail: "Trail", path: str, arguments: dict[str, Any]) -> None:
        self._trail, self._path, self._arguments = trail, path, arguments
        self.passed = 0
        self.result: Any = None
        self.outcome = "ok"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is not None:
            self.outcome = kind.__name__
        if "account" in self._arguments:
            self._trail.note(self._path, self._arguments, self)


class Trail:
    """Follows operations: gives each transfer and change to the log at its end, looks by the minute."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses
        self._looks: dict[tuple[str, int, str], int] = {}

    async def room(self, path: str) -> None:
        """Returns when the operation that is to begin can be noted. Raises StateError when it can't."""
        if path in ROWS:
            await self._uses.room()

    def note(self, path: str, arguments: dict[str, Any], trace: Trace) -> None:
        """Keeps what an operation on an account was."""
        actor, account = arguments.get("actor") or "gateway", arguments["account"]["id"]
        if path in ROWS:
            operation = arguments["operation"] if path == "/start_task" else path.removeprefix("/")
            detail = _detail(path, arguments, trace)
            self._uses.take(Act(actor, f"storage.{operation}", str(account), detail))
        elif path not in _ELSEWHERE:
            look = (actor, account, path)
            self._looks[look] = self._looks.get(look, 0) + 1
            if len(self._looks) >= _MOST_LOOKS:
                self.sum_looks()

    async def run(self) -> None:
        """Sums the looks of each minute, until cancelled."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            self.sum_looks()

    def sum_looks(self) -> None:
        """Gives the looks to the log: a row for each caller and account."""
        sums: dict[tuple[str, int], dict[str, int]] = {}
        for (actor, account, path), times in self._looks.items():
            sums.setdefault((actor, account), {})[path.removeprefix("/")] = times
        self._looks.clear()
        for (actor, account), counted in sums.items():
            self._uses.take(Act(actor, "storage.look", str(account), counted))


def digest(public_id: str) -> str:
    """How the log names a file or folder."""
    return hashlib.sha256(public_id.encode()).hexdigest()[:32]


def _detail(path: str, arguments: dict[str, Any], trace: Trace) -> dict[str, object]:
    given = arguments.get("arguments", arguments) if path == "/start_task" else arguments
    answered: dict[str, Any] = trace.result if isinstance(trace.result, dict) else {}
    made: dict[str, Any] = answered.get("entry", answered)
    is_entry = "raw_id" in made
    target = given.get("target")
    found = {
        "outcome": "started" if path == "/start_task" and trace.outcome == "ok" else trace.outcome,
        "entry": _named(given.get("id")),
        "parent": _named(given.get("parent_id")),
        "made": _named(made["id"]) if is_entry and path != "/read" else None,
        "bytes": trace.passed if path == "/read" else made.get("size") if is_entry else None,
        "target": target["id"] if target else None,
        "task": answered.get("id") if path == "/start_task" else None,
        "upload": given.get("upload_id"),
        "request": telemetry.request_id.get(),
    }
    return {name: value for name, value in found.items() if value is not None}


def _named(public_id: object) -> str | None:
    return digest(public_id) if isinstance(public_id, str) else None
