"""Properties of entries, in a table of our own within the archive: it is a database after all.

SQLite's own tool leaves other tables alone. The trigger lets properties go with their entry even when it is
that tool which removes it.
"""

import sqlite3
from collections.abc import Mapping

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS isthmus_properties(
  name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name, key)
) WITHOUT ROWID""",
    """
CREATE TRIGGER IF NOT EXISTS isthmus_properties_go AFTER DELETE ON sqlar
BEGIN DELETE FROM isthmus_properties WHERE name = OLD.name; END""",
)


def every(db: sqlite3.Connection, name: str) -> dict[str, str]:
    """The name's properties."""
    if not _kept(db):
        return {}
    return dict(db.execute("SELECT key, value FROM isthmus_properties WHERE name = ? ORDER BY key", (name,)))


def change(db: sqlite3.Connection, name: str, changes: Mapping[str, str | None]) -> None:
    """Sets, or removes where the value is None."""
    for statement in _SCHEMA:
        db.execute(statement)
    for key, value in changes.items():
        if value is None:
            db.execute("DELETE FROM isthmus_properties WHERE name = ? AND key = ?", (name, key))
        else:
            db.execute(
                "REPLACE INTO isthmus_properties(name, key, value) VALUES (?, ?, ?)", (name, key, value)
            )


def duplicate(db: sqlite3.Connection, name: str, other: str) -> None:
    """Gives the other name the same properties."""
    if _kept(db):
        db.execute(
            "REPLACE INTO isthmus_properties(name, key, value)"
            " SELECT ?, key, value FROM isthmus_properties WHERE name = ?",
            (other, name),
        )


def _kept(db: sqlite3.Connection) -> bool:
    """Whether anybody ever set one in this archive."""
    found = db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'isthmus_properties'")
    return found.fetchone() is not None
