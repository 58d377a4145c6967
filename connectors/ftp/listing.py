"""What servers say of entries: facts (RFC 3659), or lines for people that LIST has left to each server.

Of LIST only kind, size and name are taken: its times have minutes or days, no zone, and often no year.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.interface import Kind

_KINDS = {"file": Kind.FILE, "dir": Kind.FOLDER}
_ITSELF = {"cdir", "pdir"}
_UNIX = re.compile(
    r"(?P<kind>[-a-z])[-a-zA-Z]{9}[.+@]?\s+\d+\s+"  # mode and number of links
    r"\S.*?\s(?P<size>\d+)\s+"  # owner and group; either may have spaces, or be missing
    r"(?:[A-Z][a-z]{2}\s+\d{1,2}|\d{1,2}\s+[A-Z][a-z]{2})\s+(?:\d{1,2}:\d{2}|\d{4})\s"
    r"(?P<name>.+)",  # one space is left out, more are the name's own
    re.ASCII,
)
_DOS = re.compile(
    r"\d{2}-\d{2}-\d{2,4}\s+\d{2}:\d{2}(?:[AP]M)?\s+(?:(?P<folder><DIR>)\s{10}|(?P<size>\d+) )(?P<name>.+)",
    re.ASCII,
)
_TIME = re.compile(r"(\d{14})(?:\.(\d{1,6}))?\d*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry as the server describes it.

    Attributes:
        kind: None for what is neither file nor folder, a link above all.
        version: what the server tells versions apart by, beside size and time.
        facts: every fact; None from LIST.
    """

    name: str
    kind: Kind | None
    size: int | None = None
    modified: datetime | None = None
    created: datetime | None = None
    version: str = ""
    owner: str | None = None
    facts: Mapping[str, str] | None = None


def facts(line: str, *, asked_for: bool = False) -> Found | None:
    """A line of MLSD or MLST, without MLST's first space (RFC 3659, 7.2); None for what is no such line.

    The folder itself and its parent are None too, unless the entry is the one that was asked for.
    """
    told, space, name = line.partition(" ")
    found = dict(_fact(text) for text in told.split(";") if text)
    kind = found.get("type", "").lower()
    if not kind or not space or (kind in _ITSELF and not asked_for):
        return None
    size = found.get("size", "")
    return Found(
        name,
        Kind.FOLDER if kind in _ITSELF else _KINDS.get(kind),
        int(size) if size.isascii() and size.isdigit() else None,
        time(found.get("modify", "")),
        time(found.get("create", "")),
        found.get("unique", ""),
        found.get("unix.ownername") or found.get("unix.owner"),
        found,
    )


def lines(text: Iterable[str]) -> list[Found]:
    """Entries of a LIST in Unix's or DOS's way; other lines are left out."""
    return [found for line in text if (found := _unix(line) or _dos(line)) is not None]


def time(text: str) -> datetime | None:
    """A time of MLSD or MDTM, UTC (RFC 3659, 2.3)."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    try:
        seconds = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return seconds + timedelta(microseconds=int((match[2] or "0").ljust(6, "0")))


def _fact(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.lower(), value.encode("utf-8", "replace").decode()  # for JSON; names are not touched


def _unix(line: str) -> Found | None:
    match = _UNIX.fullmatch(line)
    if match is None:
        return None
    kind = {"-": Kind.FILE, "d": Kind.FOLDER}.get(match["kind"])
    name = match["name"].partition(" -> ")[0] if match["kind"] == "l" else match["name"]
    return Found(name, kind, int(match["size"]))


def _dos(line: str) -> Found | None:
    match = _DOS.fullmatch(line)
    if match is None:
        return None
    if match["folder"]:
        return Found(match["name"], Kind.FOLDER)
    return Found(match["name"], Kind.FILE, int(match["size"]))
