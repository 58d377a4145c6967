r"""SMB's rules for names, and where a raw id is on the server.

[MS-FSCC] 2.1.5: a name has no control character and none of `" \ / : * ? < > |`; Windows drops dots and
spaces at its end, so that two names would be one. A colon would open another stream of a file, a star match
many.
"""

from dataclasses import dataclass

from connectors.interface import InvalidName, NotFound
from connectors.interface.paths import Parts, check_name, split

_FORBIDDEN = frozenset('"\\/:*?<>|') | {chr(code) for code in range(32)}
_LONGEST = 255  # UTF-16 units a name
_LONGEST_PATH = 32_000  # bytes; the length field of a request has 16 bits


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: the share, and the path in it as SMB writes it (the empty path is its root)."""

    share: str
    path: str

    def child(self, name: str) -> "Place":
        """The entry of that name here."""
        return Place(self.share, f"{self.path}\\{name}" if self.path else name)


def can_be(name: str) -> bool:
    """Whether a server may hold an entry of this name."""
    units = len(name.encode("utf-16-le", "surrogatepass")) // 2
    text = not any("\ud800" <= character <= "\udfff" for character in name)
    return text and units <= _LONGEST and name[-1:] not in (".", " ") and not _FORBIDDEN.intersection(name)


def check(name: str) -> None:
    """Raises InvalidName for a name that no SMB server holds."""
    check_name(name)
    if not can_be(name):
        raise InvalidName(
            "an SMB store can't hold this name: no control characters, none of \" \\ / : * ? < > |, "
            "no dot or space at the end, at most 255 characters"
        )


def parts_of(raw_id: str) -> Parts:
    """The parts of a raw id. Raises NotFound for what can't be an entry's."""
    parts = split(raw_id)
    if not all(map(can_be, parts)) or len(raw_id.encode("utf-16-le")) > _LONGEST_PATH:
        raise NotFound("there is no such file or folder")
    return parts


class Layout:
    """How raw ids lie on the server: below one share's folder, or with the share as their first part."""

    def __init__(self, share: str, root: str) -> None:
        self._share = share
        self._root = root.split("/") if root else []

    def place(self, parts: Parts) -> Place | None:
        """Where the parts lead; None is the root above all shares.

        Raises NotFound for a hidden share: those that end with a dollar sign are the administrators'.
        """
        if self._share:
            return Place(self._share, "\\".join([*self._root, *parts]))
        if not parts:
            return None
        if parts[0].endswith("$"):
            raise NotFound("there is no such file or folder")
        return Place(parts[0], "\\".join(parts[1:]))

    def true_parts(self, place: Place, path: str) -> Parts:
        """The parts that lead to a place whose path the server writes so.

        Samba lists what SMB can't name under a short name, and still tells the true one: then as asked.
        """
        below = path.split("\\") if path else []
        if not all(map(can_be, below)):
            below = place.path.split("\\")
        return below[len(self._root) :] if self._share else [place.share, *below]
