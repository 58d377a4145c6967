"""Raw ids and the blob names that they stand for.

A file's raw id is its blob's name below the account's prefix; a folder's ends with `/`, whether it is a
marker (an empty blob of that name) or only implied by blobs below it. The root is `""`.
"""

from connectors.interface import InvalidName, NotFound
from connectors.interface.paths import TEMPORARY

LONGEST = 1024
"""Characters of a blob's name (Microsoft's page "Naming and referencing containers, blobs, and metadata")."""


def is_folder(raw_id: str) -> bool:
    """Whether the id is a folder's."""
    return raw_id == "" or raw_id.endswith("/")


def nameable(raw_id: str) -> bool:
    """Whether entries may have this id: no empty part, `.` or `..`, as a path below a root has none."""
    return raw_id == "" or all(_usable(part) for part in raw_id.removesuffix("/").split("/"))


def check_id(raw_id: str) -> None:
    """Raises NotFound for an id that no entry has."""
    if not nameable(raw_id):
        raise NotFound("there is no such file or folder")


def check_name(name: str) -> None:
    r"""Raises InvalidName for a name that Azure can't hold, or would keep as another.

    It makes `/` of `\`, drops a dot at the end, and does not take control characters.
    """
    if "/" in name or not _usable(name):
        raise InvalidName("the store can't hold this name")
    if "\\" in name or name.endswith(".") or any(sign < " " or sign == "\x7f" for sign in name):
        raise InvalidName("the store can't hold \\ or control characters in a name, nor a dot at its end")


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
    if part in ("", ".", "..") or "\0" in part or part.startswith(TEMPORARY):
        return False
    try:
        part.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True
