"""What can go wrong with the state.

StateError
├── Duplicate   a unique value is taken
├── Stale       the row changed since it was read
├── Missing     the row, or what it belongs to, is not there
├── Unfit       a value that the database can't hold
├── Away        the database can't serve now
└── Outdated    the tables are another version's
"""


class StateError(Exception):
    """Root of this package's errors."""


class Duplicate(StateError):
    """A unique value is taken."""


class Stale(StateError):
    """The row changed since it was read."""


class Missing(StateError):
    """The row, or what it belongs to, is not there."""


class Unfit(StateError):
    """A value that the database can't hold: too long, too large, or a NUL on PostgreSQL."""


class Away(StateError):
    """The database can't serve now: it is down, busy, full or broken. The text says which, and what to do."""


class Outdated(StateError):
    """The tables are another version's; the text says what to do."""
