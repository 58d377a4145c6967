"""What a proxy token may be limited to, checked the same whoever makes one: the API or the command line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_MOST = 50
_LONGEST = 1024
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")


class BadScope(ValueError):
    """A limit that can't be kept, with its field."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field, self.why = field, why


@dataclass(frozen=True, slots=True)
class Scope:
    """Limits of a token; an empty list sets none."""

    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    read_only: bool = False

    @classmethod
    def checked(
        cls,
        hosts: Sequence[str] = (),
        methods: Sequence[str] = (),
        paths: Sequence[str] = (),
        *,
        read_only: bool = False,
    ) -> Self:
        """The scope, in the spelling that requests are compared with. Raises BadScope."""
        lower = tuple(host.lower() for host in hosts)
        upper = tuple(method.upper() for method in methods)
        for field, values in (("hosts", lower), ("methods", upper), ("paths", tuple(paths))):
            if len(values) > _MOST or any(len(value) > _LONGEST for value in values):
                raise BadScope(field, f"at most {_MOST} of at most {_LONGEST} characters each")
        if not all(map(_HOST.fullmatch, lower)):
            raise BadScope("hosts", "must be host names or addresses, with a port or without: host:443")
        if not all(map(_METHOD.fullmatch, upper)):
            raise BadScope("methods", "must be HTTP methods, such as GET")
        if not all(path.startswith("/") and "?" not in path for path in paths):
            raise BadScope("paths", "must begin with / and have no query")
        return cls(lower, upper, tuple(paths), read_only)
