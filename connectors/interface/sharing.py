"""What a store says beyond its entries: who may use one, where it can be fetched, what room is left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do with an entry."""

    OWNER = "owner"
    WRITER = "writer"
    READER = "reader"


class Who(StrEnum):
    """Whom a permission is for."""

    USER = "user"
    GROUP = "group"
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True)
class Permission:
    """One grant on an entry. `id` is the store's own name of the user or group; `anyone` has none."""

    who: Who
    role: Role
    id: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Presigned:
    """A request that anyone may send to the store itself, until it expires; never to be logged."""

    url: str
    method: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes; None where the store does not say. `free` is what this account may still write."""

    total: int | None
    used: int | None
    free: int | None
