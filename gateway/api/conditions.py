"""Ranges, entity tags and conditions of RFC 9110, chapters 8, 13 and 14."""

import re
import string
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.requests import Request

from gateway.api.errors import ApiError, invalid
from gateway.operations import EntryView

_ETAG_SAFE = string.punctuation.replace('"', "").replace("%", "")
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Range:
    """What `Range` asks for: `first..last` (None: to the end), or the last `suffix` bytes."""

    first: int | None = None
    last: int | None = None
    suffix: int | None = None


def byte_range(request: Request) -> Range | None:
    """The one range asked for; None for no, several, or foreign ranges: 14.2 lets us send everything then."""
    given = request.headers.get("range")
    matched = None if given is None else _RANGE.fullmatch(given)
    if matched is None:
        return None
    first, last = (_number(part) for part in matched.groups())
    if first is None:
        return None if last is None else Range(suffix=last)
    if last is not None and last < first:
        return None
    return Range(first=first, last=last)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) < 19 else _LARGEST


def tag_of(view: EntryView) -> str | None:
    """The entry's entity tag, quoted, what it can't hold escaped; None where the store has no version."""
    return None if view.etag is None else f'"{quote(view.etag, safe=_ETAG_SAFE)}"'


@dataclass(frozen=True, slots=True)
class Tags:
    """A list of entity tags: `*`, or versions. Weak ones match for caches alone (8.8.3.2)."""

    any: bool
    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()

    def match(self, etag: str | None, *, weakly: bool = False) -> bool:
        """Whether the version is among them."""
        if self.any:
            return True
        return etag in self.strong or (weakly and etag in self.weak)


def tags(request: Request, header: str) -> Tags | None:
    """The header's list of entity tags; None without one. One that can't be read is a 400 that names it."""
    given = request.headers.get(header)
    if given is None:
        return None
    if given.strip() == "*":
        return Tags(any=True)
    strong: list[str] = []
    weak: list[str] = []
    at = 0
    while at < len(given):
        matched = _TAG.match(given, at)
        if matched is None:
            raise invalid(header, 'must be * or a list of quoted tags, such as "abc"')
        (weak if matched[1] else strong).append(unquote(matched[2]))
        at = matched.end()
    return Tags(any=False, strong=tuple(strong), weak=tuple(weak))


def if_range(request: Request) -> str | None:
    """The one version that `If-Range` allows a part of; None without one.

    A date or a weak tag never matches here (13.1.5 asks for a strong comparison): it becomes a version that
    no entry has.
    """
    given = request.headers.get("if-range")
    if given is None:
        return None
    matched = _TAG.fullmatch(given)
    return unquote(matched[2]) if matched and not matched[1] else "\0"


def changed() -> ApiError:
    """The answer to a lost precondition."""
    return ApiError(409, "conflict", "If-Match: the file is another version now")
