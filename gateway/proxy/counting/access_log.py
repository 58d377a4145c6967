"""The access log: a line for each request and CONNECT, beside the api's; nothing secret is in it.

A query's values are never written: tokens and signatures stand there. Its names are, where they look like
names: what has no `=`, or nothing behind it, may be a value itself.
"""

import logging
import re
from dataclasses import dataclass
from typing import Final

from gateway.proxy.grants import Grant

LONGEST: Final = 512
"""Characters of a path, and of a query, that are written."""
_log = logging.getLogger("access")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._$-]{0,31}")
_MASKED: Final = "*"


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says.

    Attributes:
        grant: whose request it was; None where nobody valid was named.
        target: path and query as the client sent them; "" for a CONNECT.
        status: as the client saw it; None when it saw none.
        up, down: bytes of the bodies, or all that passed through.
        refused: why it was not let through, or not brought to its end.
        passed: whether it went through without interception.
    """

    client: str
    grant: Grant | None
    method: str
    host: str
    target: str
    status: int | None
    up: int
    down: int
    seconds: float
    refused: str | None = None
    passed: bool = False

    def write(self) -> None:
        """Writes it, at level info."""
        _log.info(
            "pass" if self.passed else "request",
            extra={
                "client": self.client,
                "account": self.grant.account if self.grant else None,
                "actor": self.grant.actor if self.grant else None,
                "method": self.method[:32],
                "host": self.host[:260],
                "path": shown(self.target),
                "status": self.status,
                "up": self.up,
                "down": self.down,
                "ms": round(self.seconds * 1000, 1),
                "refused": self.refused,
            },
        )


def shown(target: str) -> str:
    """The target as it may be read by anybody: the path, cut, and the query without its values."""
    path, mark, query = target.partition("?")
    return _cut(path) + (f"?{_cut('&'.join(map(_piece, query.split('&'))))}" if mark else "")


def _piece(piece: str) -> str:
    name, _, value = piece.partition("=")
    return f"{name}={_MASKED}" if value.strip("=") and _NAME.fullmatch(name) else _MASKED


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
