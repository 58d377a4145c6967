"""One connection to an archive: names and folders, looked up and changed. Blocking; called in threads."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from connectors.interface import (
    CHUNK,
    AlreadyExists,
    BadAnswer,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from connectors.interface.paths import split
from isthmus_sqlar import properties
from isthmus_sqlar.rows import COLUMNS, FOLDER_MODE, SCHEMA, Row
from isthmus_sqlar.settings import SqlarSettings

_LARGEST_LOG = 64 * 1024 * 1024
_SAFELY = (  # the file may come from anybody: https://sqlite.org/security.html
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    f"PRAGMA journal_size_limit = {_LARGEST_LOG}",
)


class Archive:
    """A connection, for one thread at a time. `stop` may be called from any thread."""

    def __init__(self, settings: SqlarSettings, patience: float) -> None:
        self._db: sqlite3.Connection | None = None
        self._settings = settings
        self._patience = patience
        self._stopped = threading.Event()

    def open(self) -> None:
        """Connects; `patience` seconds is what any later call waits for other programs' locks."""
        self._db = self._connected()
        self.db.text_factory = lambda name: name.decode("utf-8", "surrogateescape")
        self.db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
        for pragma in _SAFELY:
            self.db.execute(pragma)
        if self._settings.limit is not None:
            self.db.execute(f"PRAGMA max_page_count = {self._settings.limit // self.page_size}")

    def _connected(self) -> sqlite3.Connection:
        mode = "rwc" if self._settings.create else "rw"
        uri = f"{Path(self._settings.path).as_uri()}?mode={mode}"
        return sqlite3.connect(
            uri, uri=True, timeout=self._patience, autocommit=True, check_same_thread=False
        )

    def prepare(self) -> None:
        """Makes the table in a new archive. Raises BadAnswer for a database that is none.

        The write-ahead log lets readers keep their version while others write, so that a slow download
        stops nobody.
        """
        tables = dict(self.db.execute("SELECT name, type FROM sqlite_schema"))
        if tables and tables.get("sqlar") != "table":
            raise BadAnswer("the file is no SQLite archive")
        if self.db.execute("PRAGMA encoding").fetchone() != ("UTF-8",):
            raise BadAnswer("the archive is not in UTF-8, whose order of names is relied upon")
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute(SCHEMA)

    def close(self) -> None:
        """Ends the connection and what it has open; nothing if it never opened."""
        if self._db is not None:
            self._db.close()

    def stop(self) -> None:
        """Makes the running call, and any later one, fail with Unavailable."""
        self._stopped.set()
        if self._db is not None:
            self._db.interrupt()

    def go_on(self) -> None:
        """Raises Unavailable after `stop`; for loops that SQLite can't interrupt."""
        if self._stopped.is_set():
            raise Unavailable("the archive was closed")

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for modules that know a table of their own. Raises Unavailable before `open`."""
        if self._db is None:
            raise Unavailable("the archive is not open")
        return self._db

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return int(self.db.execute("PRAGMA page_size").fetchone()[0])

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction that writes: all of it, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        finally:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    # looking

    def find(self, name: str) -> Row | None:
        """What has the name, whatever it is: a row, or a folder that others' names imply."""
        found = self.db.execute(f"SELECT {COLUMNS} FROM sqlar WHERE name = ?", (name,)).fetchone()  # noqa: S608
        if found is not None:
            return Row(*found)
        if name == "" or next(self.visible(f"{name}/", _end(name)), None) is not None:
            return Row.implied(name)
        return None

    def require(self, name: str) -> Row:
        """The entry. Raises NotFound, for links and devices as well."""
        split(name)
        try:
            row = self.find(name)
        except UnicodeEncodeError:
            row = None
        if row is None or row.kind is None:
            raise NotFound("there is no such file or folder")
        return row

    def require_file(self, name: str) -> Row:
        """Raises NotFound, NotAFolder."""
        row = self.require(name)
        if row.kind is not Kind.FILE:
            raise NotAFolder("this is a folder, not a file")
        return row

    def require_folder(self, name: str) -> Row:
        """Raises NotFound, NotAFolder."""
        row = self.require(name)
        if row.kind is not Kind.FOLDER:
            raise NotAFolder("this is a file, not a folder")
        return row

    def visible(self, first: str, end: str | bytes) -> Iterator[Row]:
        """Entries with `first` <= name < `end`, by name; what is no entry is left out."""
        return (row for row in self._rows(first, end) if row.kind is not None)

    def _rows(self, first: str, end: str | bytes) -> Iterator[Row]:
        query = f"SELECT {COLUMNS} FROM sqlar WHERE name >= ? AND name < ? ORDER BY name"  # noqa: S608
        for found in self.db.execute(query, (first, end)):
            self.go_on()
            yield Row(*found)

    def below(self, folder: str, cursor: str | None) -> Iterator[tuple[Row, str]]:
        """Everything below a folder that has a row, each with the cursor that goes on after it."""
        for row in self.visible(cursor or _start(folder), _end(folder)):
            yield row, f"{row.name}\1"

    def children(self, folder: str, cursor: str | None) -> Iterator[tuple[Row, str]]:
        """What is in a folder, each with the cursor that goes on after it.

        What is deeper is skipped by one look-up a folder, whatever is in there.
        """
        start, after = _start(folder), cursor or _start(folder)
        while True:
            for row in self.visible(after, _end(folder)):
                own, deeper, _ = row.name[len(start) :].partition("/")
                if not deeper:
                    yield row, f"{row.name}\1"
                    continue
                after = f"{start}{own}0"
                top = self.find(start + own)
                if top is not None and top.is_implied:  # one with a row of its own was seen before
                    yield top, after
                break
            else:
                return

    # changing

    def admit(self, parent: str, name: str, *, replace: bool, etag: str | None = None) -> Row | None:
        """The file that a new one would replace, if there is any.

        Raises NotFound and NotAFolder (the parent), InvalidName, AlreadyExists, PreconditionFailed.
        """
        self.require_folder(parent)
        try:
            there = self.find(joined(parent, name))
        except UnicodeEncodeError:
            raise InvalidName("the archive can't hold this name") from None
        if etag is not None and (there is None or there.etag != etag):
            raise PreconditionFailed("the file is another version now")
        if there is not None and (not replace or there.kind is not Kind.FILE):
            raise AlreadyExists("the name is taken")
        return there

    def add_folder(self, name: str) -> None:
        """A row for a folder."""
        values = (self._next_version(), name, FOLDER_MODE, int(time.time()))
        self.db.execute("INSERT INTO sqlar(rowid, name, mode, mtime, sz) VALUES (?, ?, ?, ?, 0)", values)

    def add_file(self, new: Row, pieces: Iterable[bytes]) -> None:
        """A row with these bytes, `new.stored` of them; its version is given here. Replaces the name's."""
        version = self._next_version()
        self.db.execute(
            "REPLACE INTO sqlar(rowid, name, mode, mtime, sz, data) VALUES (?, ?, ?, ?, ?, zeroblob(?))",
            (version, new.name, new.mode, new.mtime, new.size, new.stored),
        )
        with self.db.blobopen("sqlar", "data", version) as blob:
            for piece in pieces:
                self.go_on()
                blob.write(piece)

    def remove(self, name: str, *, recursive: bool) -> None:
        """Removes an entry. Raises NotFound, NotEmpty."""
        row = self.require(name)
        if row.kind is Kind.FOLDER and not recursive and next(self._rows(f"{name}/", _end(name)), None):
            raise NotEmpty("the folder is not empty")
        self._settle(name)
        self.db.execute("DELETE FROM sqlar WHERE name = ?", (name,))
        self.db.execute("DELETE FROM sqlar WHERE name >= ? AND name < ?", (f"{name}/", _end(name)))

    def transfer(self, name: str, parent: str, new: str, *, keep: bool, replace: bool) -> None:
        """Copies an entry, or moves it unless `keep`, with all that is below.

        SQLite can't rename a row without loading its bytes, so these are copied in pieces, and the former
        row goes.
        """
        row, target = self.require(name), joined(parent, new)
        replaced = self.admit(parent, new, replace=replace)
        if target == name:
            return
        if row.kind is Kind.FOLDER and target.startswith(f"{name}/"):
            raise InvalidName("a folder can't be put into itself")
        if replaced is not None:
            if row.kind is Kind.FOLDER:
                raise AlreadyExists("a file has the name")
            self.remove(target, recursive=False)
        if not keep:
            self._settle(name)
        for each in self._changing_rows(name):
            self._duplicate(each, target + each.name[len(name) :])
            if not keep:
                self.db.execute("DELETE FROM sqlar WHERE rowid = ?", (each.version,))

    def _changing_rows(self, name: str) -> Iterator[Row]:
        """The name's row, if any, and all below, looked up one by one: rows may come and go meanwhile."""
        for first, end in ((name, f"{name}\1"), (f"{name}/", _end(name))):
            after = first
            while (row := next(self._rows(after, end), None)) is not None:
                yield row
                after = f"{row.name}\1"

    def _duplicate(self, row: Row, name: str) -> None:
        if row.stored is None or row.stored <= CHUNK:
            self.db.execute(
                "INSERT INTO sqlar(rowid, name, mode, mtime, sz, data)"
                " SELECT ?, ?, mode, mtime, sz, data FROM sqlar WHERE rowid = ?",
                (self._next_version(), name, row.version),
            )
        else:
            # Read on another connection: on this one each write would make SQLite follow the row's chain of
            # pages from its beginning again, minutes for some hundred MiB.
            with closing(self._connected()) as other:
                blob = other.blobopen("sqlar", "data", row.version, readonly=True)
                copy = Row(0, name, row.mode, row.mtime, row.size, row.stored)
                self.add_file(copy, iter(lambda: blob.read(CHUNK), b""))
        properties.duplicate(self.db, row.name, name)

    def _settle(self, name: str) -> None:
        """Gives the name's folder a row if it had none: it stays when its last file goes."""
        folder = name.rpartition("/")[0]
        if folder and (row := self.find(folder)) is not None and row.is_implied:
            self.add_folder(folder)

    def _next_version(self) -> int:
        """Above all others, and by the clock: a row that comes after one that went has another number."""
        (last,) = self.db.execute("SELECT coalesce(max(rowid), 0) FROM sqlar").fetchone()
        return max(int(last) + 1, time.time_ns())


def joined(folder: str, name: str) -> str:
    """The raw id of a name in a folder."""
    return f"{folder}/{name}" if folder else name


def _start(folder: str) -> str:
    return f"{folder}/" if folder else ""


def _end(folder: str) -> str | bytes:
    """What comes after all that is below the folder: `0` follows `/`, and to SQLite a blob any text."""
    return f"{folder}0" if folder else b""
