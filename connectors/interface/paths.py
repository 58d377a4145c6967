"""Raw ids of path-based stores: the path under the account's root, `/` between parts, none in front."""

import secrets

from connectors.interface.errors import InvalidName, NotFound

type Parts = list[str]

TEMPORARY = ".isthmus-"
"""What a file is called beside its place until it is whole: hidden from listings, never an id."""


def split(raw_id: str) -> Parts:
    """The parts of a raw id, none for the root.

    Raises NotFound for what could leave the root (`..`, empty parts) and for temporary names.
    """
    if raw_id == "":
        return []
    parts = raw_id.split("/")
    if any(part in ("", ".", "..") or "\0" in part or part.startswith(TEMPORARY) for part in parts):
        raise NotFound("there is no such file or folder")
    return parts


def check_name(name: str) -> None:
    """Raises InvalidName for a name that no file may have."""
    if name in ("", ".", "..") or "/" in name or "\0" in name or name.startswith(TEMPORARY):
        raise InvalidName("the store can't hold this name")


def temporary_name() -> str:
    """A name that nobody has: what is under it is not whole yet."""
    return TEMPORARY + secrets.token_hex(16)


def parent_of(parts: Parts) -> str | None:
    """The parent's raw id; None for the root."""
    return "/".join(parts[:-1]) if parts else None
