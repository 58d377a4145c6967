"""Whose an entry is, by the names of this machine."""

import grp
import os
import pwd

from connectors.interface.modes import Modes


def modes(facts: os.stat_result) -> Modes:
    """The entry's mode with owner and group by name, and by number, as either may be given."""
    return Modes(facts.st_mode, _user(facts.st_uid), _group(facts.st_gid))


def _user(uid: int) -> tuple[str, ...]:
    try:
        return pwd.getpwuid(uid).pw_name, str(uid)
    except KeyError:
        return (str(uid),)


def _group(gid: int) -> tuple[str, ...]:
    try:
        return grp.getgrgid(gid).gr_name, str(gid)
    except KeyError:
        return (str(gid),)
