"""Raw ids and the object names that they stand for.

A file's raw id is its object's name below the account's prefix; a folder's ends with `/`, whether it is a
marker (an empty object of that name) or only implied by objects below it. The root is `""`.
"""

from connectors.interface import InvalidName, NotFound

LONGEST = 1024
"""Bytes of UTF-8 of an object's name (https://cloud.google.com/storage/docs/objects#naming)."""


def is_folder(raw_id: str) -> bool:
    """Whether the id is a folder's."""
    return raw_id == "" or raw_id.endswith("/")


def nameable(raw_id: str) -> bool:
    """Whether entries may have this id: no empty part, `.` or `..`, as a path below a root has none."""
    return raw_id == "" or all(map(_usable, raw_id.removesuffix("/").split("/")))


def check_id(raw_id: str) -> None:
    """Raises NotFound for an id that no entry has."""
    if not nameable(raw_id):
        raise NotFound("there is no such file or folder")


def check_name(name: str) -> None:
    """Raises InvalidName for a name that no entry may have."""
    if "/" in name or not _usable(name):
        raise InvalidName("the store can't hold this name")


def name_of(raw_id: str) -> str:
    """The last part."""
    return raw_id.removesuffix("/").rpartition("/")[2]


def parent_of(raw_id: str) -> str | None:
    """The folder that it is in; None for the root."""
    if raw_id == "":
        return None
    above, slash, _ = raw_id.removesuffix("/").rpartition("/")
    return above + slash


def _usable(part: str) -> bool:
    if part in ("", ".", "..") or not set(part).isdisjoint("\0\r\n"):
        return False
    try:
        part.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True
