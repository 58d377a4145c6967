"""What can go wrong with the state.

StateError
├── Duplicate   a unique value is taken
├── Stale       the row changed since it was read
└── Missing     the row is not there
"""


class StateError(Exception):
    """Root of this package's errors."""


class Duplicate(StateError):
    """A unique value is taken."""


class Stale(StateError):
    """The row changed since it was read."""


class Missing(StateError):
    """The row is not there."""
