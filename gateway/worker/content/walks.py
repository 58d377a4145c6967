"""Walks: everything below some folders, page by page, within bounds, to be gone on with later.

A connector with `tree` is asked for all files at once; any other is listed folder by folder. Each page of a
folder comes first, then what is below its folders, depth first: so the place where a walk stands is one path
down the tree, small enough to be a cursor, however wide the tree is. In memory are the page being looked at
and, for each level above it, the folders that are still to be entered.
"""

import base64
import binascii
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.interface import (
    CanListTrees,
    Connector,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotFound,
    NotPermitted,
    Page,
    Unsupported,
)

_PAGE = 1000
_DEEPEST = 100
_LONGEST_CURSOR = 6000
_LARGEST_STATE = 256 * 1024
_STATE = {"path": list, "later": list, "over": int, "trees": bool}
_PLACE = (str, str | None, int, int, str | None)
_PASSED_OVER = (NotPermitted, NotFound, NotAFolder)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one walk may cost: entries looked at, and seconds (looked at between pages)."""

    entries: int
    seconds: float
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Place:
    """How far a walk is in one folder: the page of it that `cursor` gives.

    Attributes:
        folder: its raw id.
        cursor: the store's own, of the page; None for the first.
        seen: how many entries of the page were yielded.
        entered: how many folders of the page were entered, and which was the `last`: when the page is listed
            again by a walk that goes on, the name finds the place even if others came or went.
        known: whether the page was listed by this walk; then `folders` are the raw ids of those on it, and
            `following` is the cursor of the page after it.
    """

    folder: str
    cursor: str | None = None
    seen: int = 0
    entered: int = 0
    last: str | None = None
    folders: Sequence[str] = ()
    following: str | None = None
    known: bool = False


@dataclass(slots=True)
class Walk:
    """One walk. After `entries` ended, `stopped` says which bound ended it; None when all was seen.

    Attributes:
        stopped: for people.
        passed_over: folders that the store would not list to this account, or that went away meanwhile.
    """

    connector: Connector
    bounds: Bounds
    stopped: str | None = None
    passed_over: int = 0
    _path: list[Place] = field(default_factory=list)
    _later: list[str] = field(default_factory=list)
    _whole_trees: bool = True

    @classmethod
    def below(cls, connector: Connector, bounds: Bounds, folders: Sequence[str]) -> "Walk":
        """A new walk, of the folders in this order. Each entry comes once if none is below another."""
        return cls(connector, bounds, _later=list(folders))

    @classmethod
    def resumed(cls, connector: Connector, bounds: Bounds, cursor: str) -> "Walk":
        """The walk that had this cursor. Raises InvalidName for what was none of ours."""
        state = _unpacked(cursor)
        walk = cls(connector, bounds, passed_over=state["over"], _whole_trees=state["trees"])
        walk._path = [Place(*place) for place in state["path"]]
        walk._later = list(state["later"])
        return walk

    def cursor(self) -> str | None:
        """Where `entries` was left, to be gone on with; None when nothing is left.

        Raises Unsupported when the place is too long for a cursor: names that are long, and nested deeply.
        """
        if not self._path and not self._later:
            return None
        path = [(place.folder, place.cursor, place.seen, place.entered, place.last) for place in self._path]
        state = {"path": path, "later": self._later, "over": self.passed_over, "trees": self._whole_trees}
        packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(state).encode())).rstrip(b"=").decode()
        if len(packed) > _LONGEST_CURSOR:
            raise Unsupported("the place where the search stopped is too deep to be gone on from")
        return packed

    async def entries(self) -> AsyncIterator[Entry]:
        """Every entry below the folders, until a bound is reached. It may be left at any entry.

        Raises what `list` and `tree` raise, but passes over folders that can't be listed, other than those
        that it began with.
        """
        looked, deadline = 0, self.bounds.clock() + self.bounds.seconds
        while self._path or self._later:
            place = self._place()
            if self.bounds.clock() >= deadline and looked:
                self.stopped = f"after {self.bounds.seconds:g} seconds"
                return
            page = await self._look(place)
            while page is not None and place.seen < len(page.entries):
                if looked >= self.bounds.entries:
                    self.stopped = f"after {looked} entries"
                    return
                looked += 1
                place.seen += 1
                yield page.entries[place.seen - 1]
            self._go_on()

    async def pages(self) -> AsyncIterator[Sequence[Entry]]:
        """Every entry below the folders, as the store's listings have them, without a bound.

        Nothing is listed ahead: a page is asked for when it is wanted. Raises as `entries`.
        """
        while self._path or self._later:
            place = self._place()
            page = await self._look(place)
            if page is not None and place.seen < len(page.entries):
                first, place.seen = place.seen, len(page.entries)
                yield page.entries[first:]
            self._go_on()

    def _place(self) -> Place:
        """Where the walk stands: in the first folder that is left, if it is in none."""
        if not self._path:
            self._path.append(Place(self._later.pop(0)))
        return self._path[-1]

    async def _look(self, place: Place) -> Page | None:
        """The page where the place is, unless all of it was yielded before."""
        if place.known:
            return None
        try:
            page = await self._page(place)
        except _PASSED_OVER:
            if len(self._path) == 1 and place.cursor is None:
                raise
            self.passed_over += 1
            page = Page([])
        place.known, place.following = True, page.next_cursor
        if not self._whole_trees:
            place.folders = [entry.raw_id for entry in page.entries if entry.kind is Kind.FOLDER]
            if place.last in place.folders:
                place.entered = place.folders.index(place.last) + 1
        return page

    async def _page(self, place: Place) -> Page:
        """Of the whole tree where the store can, of the folder else."""
        if self._whole_trees and isinstance(self.connector, CanListTrees):
            try:
                return await self.connector.tree(place.folder, place.cursor, _PAGE)
            except Unsupported:
                if place.cursor is not None:
                    raise
        self._whole_trees = False
        return await self.connector.list(place.folder, place.cursor, _PAGE)

    def _go_on(self) -> None:
        """To the page's next folder, the folder's next page, or back up."""
        place = self._path[-1]
        if place.entered < len(place.folders):
            place.last = place.folders[place.entered]
            place.entered += 1
            if len(self._path) < _DEEPEST:
                self._path.append(Place(place.last))
            else:
                self.passed_over += 1
        elif place.following is not None:
            self._path[-1] = Place(place.folder, place.following)
        else:
            self._path.pop()


def _unpacked(cursor: str) -> dict[str, Any]:
    """The state in a cursor that came back; it may be anything."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        state = json.loads(zlib.decompressobj().decompress(packed, _LARGEST_STATE))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        state = None
    if not _sound(state):
        raise InvalidName("page: must be 1, or the next_page of an answer, as it came")
    sound: dict[str, Any] = state
    return sound


def _sound(state: Any) -> bool:
    if not isinstance(state, dict) or [type(state.get(name)) for name in _STATE] != list(_STATE.values()):
        return False
    places = all(isinstance(place, list) and _sound_place(*place[:6]) for place in state["path"])
    return places and len(state["path"]) <= _DEEPEST and all(isinstance(raw, str) for raw in state["later"])


def _sound_place(*place: Any) -> bool:
    whole = len(place) == len(_PLACE) and all(map(isinstance, place, _PLACE))
    return whole and place[2] >= 0 and place[3] >= 0
