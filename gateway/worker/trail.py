"""What the audit log has of every use of an account's credential.

A transfer or a change is a row of its own. Looks (stat, list, search and the like) come by the thousand a
second: a row tells how many of each one caller made on one account within a minute. Rows are written in
batches, once a second, so that no operation waits for the database; when it takes none, transfers wait. What
a worker that is killed had not written yet is lost, a second of it at most (a minute of looks).

No row has a name or a path: public ids stand there by their digest, which is found again from an id.
"""

import asyncio
import hashlib
import logging
from collections import deque
from typing import Any, Final, Self

from gateway import telemetry
from store.engine import Database
from store.queries import audit
from store.queries.audit import Act

_log = logging.getLogger(__name__)
_EVERY = 1.0
_LOOKS_EVERY = 60.0
_MOST_WAITING = 10_000
_MOST_LOOKERS = 1_000
_AT_ONCE = 1_000

ROWS: Final = frozenset(
    {
        *("/read", "/write", "/replace", "/fetch", "/copy", "/move", "/move_across", "/mkdir", "/delete"),
        *("/start_task", "/begin_upload", "/complete_upload", "/abandon_upload", "/upload_url"),
        *("/set_properties", "/clear_properties", "/set_permissions"),
    }
)
"""Operations that are rows of their own; any other on an account is counted, parts of uploads too."""


class Use:
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
    """Follows operations and writes what they were. `run` owns the writing.

    Args:
        database: where the log is.
        most: rows that may wait; from then on transfers do.
    """

    def __init__(self, database: Database, *, most: int = _MOST_WAITING) -> None:
        self._database = database
        self._most = most
        self._waiting: deque[Act] = deque()
        self._looks: dict[tuple[str, int, str], int] = {}
        self._room = asyncio.Event()
        self._room.set()

    async def room(self, path: str) -> None:
        """Returns when the use that is to begin can be noted."""
        if path in ROWS:
            await self._room.wait()

    def note(self, path: str, arguments: dict[str, Any], use: Use) -> None:
        """Keeps what an operation on an account was, to be written soon."""
        actor, account = arguments.get("actor") or "gateway", arguments["account"]["id"]
        if path not in ROWS:
            look = (actor, account, path)
            self._looks[look] = self._looks.get(look, 0) + 1
            return
        operation = arguments["operation"] if path == "/start_task" else path.removeprefix("/")
        self._waiting.append(Act(actor, f"storage.{operation}", str(account), _detail(path, arguments, use)))
        if len(self._waiting) >= self._most:
            self._room.clear()

    async def run(self) -> None:
        """Writes until cancelled, then what is left."""
        looked = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.sleep(_EVERY)
                now = asyncio.get_running_loop().time()
                if now - looked >= _LOOKS_EVERY or len(self._looks) >= _MOST_LOOKERS:
                    self._sum_looks()
                    looked = now
                await self._write()
        finally:
            self._sum_looks()
            await self._write()

    def _sum_looks(self) -> None:
        sums: dict[tuple[str, int], dict[str, int]] = {}
        for (actor, account, path), times in self._looks.items():
            sums.setdefault((actor, account), {})[path.removeprefix("/")] = times
        self._looks.clear()
        self._waiting += (
            Act(actor, "storage.look", str(account), sums[actor, account]) for actor, account in sums
        )

    async def _write(self) -> None:
        """Writes what waits; what can't be written stays for the next time."""
        while self._waiting:
            acts = [self._waiting[at] for at in range(min(len(self._waiting), _AT_ONCE))]
            try:
                async with self._database.session() as session:
                    await audit.append_all(session, acts)
            except Exception:  # noqa: BLE001  a task root: the rows are kept, and transfers wait at last
                _log.exception("the audit log can't be written", extra={"waiting": len(self._waiting)})
                return
            for _ in acts:
                self._waiting.popleft()
            if len(self._waiting) < self._most:
                self._room.set()


def digest(public_id: str) -> str:
    """How the log names a file or folder."""
    return hashlib.sha256(public_id.encode()).hexdigest()[:32]


def _detail(path: str, arguments: dict[str, Any], use: Use) -> dict[str, object]:
    given = arguments.get("arguments", arguments) if path == "/start_task" else arguments
    answered: dict[str, Any] = use.result if isinstance(use.result, dict) else {}
    made: dict[str, Any] = answered.get("entry", answered)
    is_entry = "raw_id" in made
    target = given.get("target")
    found = {
        "outcome": "started" if path == "/start_task" and use.outcome == "ok" else use.outcome,
        "entry": _named(given.get("id")),
        "parent": _named(given.get("parent_id")),
        "made": _named(made["id"]) if is_entry and path != "/read" else None,
        "bytes": use.passed if path == "/read" else made.get("size") if is_entry else None,
        "target": target["id"] if target else None,
        "task": answered.get("id") if path == "/start_task" else None,
        "upload": given.get("upload_id"),
        "request": telemetry.request_id.get(),
    }
    return {name: value for name, value in found.items() if value is not None}


def _named(public_id: object) -> str | None:
    return digest(public_id) if isinstance(public_id, str) else None
