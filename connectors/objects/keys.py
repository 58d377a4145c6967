"""Raw ids and the keys that they stand for.

A file's raw id is its object's key below the account's prefix; a folder's ends with `/`, whether it is a
marker (an empty object of that key) or only implied by keys below it. The root is `""`.
"""

from dataclasses import dataclass

from connectors.interface import InvalidName, NotFound


@dataclass(frozen=True, slots=True)
class Naming:
    """Which keys can be entries: no part is empty, `.` or `..`, as a path below a root has none of these.

    Attributes:
        unfit: characters that no part may hold.
        hidden: how names begin that we keep for ourselves; None where there are none.
    """

    unfit: frozenset[str] = frozenset("\0")
    hidden: str | None = None

    def nameable(self, raw_id: str) -> bool:
        """Whether entries may have this id."""
        return raw_id == "" or all(map(self._usable, raw_id.removesuffix("/").split("/")))

    def check_id(self, raw_id: str) -> None:
        """Raises NotFound for an id that no entry has."""
        if not self.nameable(raw_id):
            raise NotFound("there is no such file or folder")

    def check_name(self, name: str) -> None:
        """Raises InvalidName for a name that no entry may have."""
        if "/" in name or not self._usable(name):
            raise InvalidName("the store can't hold this name")

    def _usable(self, part: str) -> bool:
        if part in ("", ".", "..") or not self.unfit.isdisjoint(part):
            return False
        if self.hidden is not None and part.startswith(self.hidden):
            return False
        try:
            part.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return False
        return True


def is_folder(raw_id: str) -> bool:
    """Whether the id is a folder's."""
    return raw_id == "" or raw_id.endswith("/")


def name_of(raw_id: str) -> str:
    """The last part."""
    return raw_id.removesuffix("/").rpartition("/")[2]


def parent_of(raw_id: str) -> str | None:
    """The folder that it is in; None for the root."""
    if raw_id == "":
        return None
    above, slash, _ = raw_id.removesuffix("/").rpartition("/")
    return above + slash
