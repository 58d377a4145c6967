"""POSIX mode bits as grants, for stores that have owner, group and others and no more (POSIX.1, 4.7).

| class | grant | a file's bits | a folder's bits |
|---|---|---|---|
| owner | user, owner | rw- | rwx |
| group | group, writer / reader | rw- / r-- | rwx / r-x |
| others | anyone, writer / reader | rw- / r-- | rwx / r-x |

The owner stays the owner whatever the bits say, since only that user may change them. A class whose bits are
less than a reader's has no grant. A file's x bits say that it is a program, not who may use it: they go only
together with the class's whole grant. Set-id and sticky bits are left as they are.
"""

import stat
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.interface.errors import Unsupported
from connectors.interface.sharing import Permission, Role, Who

_SHIFT = {Who.USER: 6, Who.GROUP: 3, Who.ANYONE: 0}
_FILE = {Role.OWNER: 0o6, Role.WRITER: 0o6, Role.READER: 0o4}
_FOLDER = {Role.OWNER: 0o7, Role.WRITER: 0o7, Role.READER: 0o5}
_EXECUTE = 0o1


@dataclass(frozen=True, slots=True)
class Modes:
    """An entry's mode, type included, and whose it is: names for one and the same, the first is shown."""

    mode: int
    owner: tuple[str, ...]
    group: tuple[str, ...]

    def grants(self) -> list[Permission]:
        """Owner, group and others, in this order."""
        found = [Permission(Who.USER, Role.OWNER, self.owner[0])]
        for who, identity in ((Who.GROUP, self.group[0]), (Who.ANYONE, None)):
            bits = self.mode >> _SHIFT[who] & 0o7
            for role in (Role.WRITER, Role.READER):
                if bits & self._roles[role] == self._roles[role]:
                    found.append(Permission(who, role, identity))
                    break
        return found

    def changed(self, grants: Sequence[Permission], *, replace: bool) -> int:
        """The mode's permission bits with these grants; with `replace` a class without one has no bits.

        Raises Unsupported for another user, another group, or a role that no bits express.
        """
        mode = stat.S_IMODE(self.mode)
        if replace:
            granted = {grant.who for grant in grants}
            for who in {Who.GROUP, Who.ANYONE} - granted:
                mode &= ~(0o7 << _SHIFT[who])
        for grant in grants:
            self._check(grant)
            shift = _SHIFT[grant.who]
            program = 0 if stat.S_ISDIR(self.mode) else mode >> shift & _EXECUTE
            mode = mode & ~(0o7 << shift) | (self._roles[grant.role] | program) << shift
        return mode

    @property
    def _roles(self) -> dict[Role, int]:
        return _FOLDER if stat.S_ISDIR(self.mode) else _FILE

    def _check(self, grant: Permission) -> None:
        known = {Who.USER: self.owner, Who.GROUP: self.group, Who.ANYONE: (None,)}[grant.who]
        if grant.id not in known:
            raise Unsupported("this store has permissions for the owner, the entry's group and anyone only")
        if (grant.role is Role.OWNER) != (grant.who is Who.USER):
            raise Unsupported("this store has one owner, who is a user; all others are writers or readers")
