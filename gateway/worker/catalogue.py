"""Every operation that answers in JSON, by its path."""

from typing import Final

from gateway.worker.desk import Long, Operation, Upload
from gateway.worker.operations import (
    attempts,
    contents,
    copies,
    dials,
    entries,
    events,
    extras,
    fetches,
    finding,
    grants,
    long,
    upkeep,
    uploads,
)

OPERATIONS: Final[dict[str, Operation]] = (
    entries.OPERATIONS
    | long.OPERATIONS
    | upkeep.OPERATIONS
    | uploads.OPERATIONS
    | extras.OPERATIONS
    | grants.OPERATIONS
    | dials.OPERATIONS
    | attempts.OPERATIONS
)
UPLOADS: Final[dict[str, Upload]] = contents.UPLOADS | uploads.UPLOADS | extras.UPLOADS | grants.UPLOADS
"""Those with a body, which is content or a JSON document."""
LONG: Final[dict[str, Long]] = copies.LONG | fetches.LONG | finding.LONG | events.LONG
"""Those that end when nobody waits for them any more; the others are done in any case."""
