"""Folders and names on one server, on a login that the caller has.

A refusal of FTP says little: 550 is a name that is not there, one that is taken, or no permission. Whoever
is refused looks what is there, and says that.
"""

import asyncio
import mimetypes
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.ftp import listing
from connectors.ftp.control import Control
from connectors.ftp.errors import Reply, refusal
from connectors.ftp.listing import Found
from connectors.ftp.settings import FtpSettings
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    Entry,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    NotPermitted,
    StoreError,
    Unsupported,
)
from connectors.interface.paths import TEMPORARY, Parts, check_name, parent_of, split, temporary_name

_LONGEST_NAME = 255
_ABSENT = {501, 550, 553}
_UNCLEAR = (NotFound, InvalidName, NotPermitted)
_NOT_THERE = "there is no such file or folder"


class Tree:
    """What is below the account's root."""

    def __init__(self, settings: FtpSettings) -> None:
        self._root = settings.root.rstrip("/")
        self._from_top = settings.root.startswith("/")
        self._encoding = settings.encoding

    # names

    def parts(self, raw_id: str) -> Parts:
        """The parts of an id. Raises NotFound for those that no entry can have."""
        parts = split(raw_id)
        if not all(self._can_be_sent(part) for part in parts):
            raise NotFound(_NOT_THERE)
        return parts

    def check(self, name: str) -> None:
        """Raises InvalidName for a name that FTP can't carry, or that would be a command of its own."""
        check_name(name)
        if not self._can_be_sent(name):
            raise InvalidName("FTP can't carry this name")

    def path(self, control: Control, parts: Parts) -> str:
        """What commands call an entry: a whole path, so that no name looks like an option."""
        home = "" if self._from_top else control.home.rstrip("/")
        root = self._root if self._from_top or not self._root else f"/{self._root}"
        return "/".join([home + root, *parts]) or "/"

    def _can_be_sent(self, name: str) -> bool:
        """No end of a line, nothing outside the encoding, no byte that Telnet has for itself (RFC 854)."""
        try:
            encoded = name.encode(self._encoding, "surrogateescape")
        except UnicodeEncodeError:
            return False
        return not any(byte in encoded for byte in b"\r\n\0\xff")

    # looking

    async def entry(self, control: Control, parts: Parts) -> Entry:
        """The entry. Raises NotFound for what is not there or neither file nor folder."""
        found = await (self._by_facts if control.knows_facts else self._by_size)(control, parts)
        if found.kind is None or (not parts and found.kind is Kind.FILE):
            raise NotFound(_NOT_THERE)
        return described(parts, found)

    async def there(self, control: Control, parts: Parts) -> Entry | None:
        """The entry, or None."""
        try:
            return await self.entry(control, parts)
        except NotFound:
            return None

    async def entries(self, control: Control, parts: Parts) -> list[Found]:
        """Everything in a folder, links and hidden names too. Raises NotFound, NotAFolder, NotPermitted."""
        try:
            if control.knows_facts:
                told = await control.listing(f"MLSD {self.path(control, parts)}")
                return [one for line in told if (one := listing.facts(line)) is not None]
            await control.ask(f"CWD {self.path(control, parts)}", 200, 250)
            found = await self._all_of_list(control)
        except _UNCLEAR as error:
            if (await self.entry(control, parts)).kind is Kind.FILE:
                raise NotAFolder("this is a file, not a folder") from error
            raise NotPermitted("the store does not let this account list the folder") from error
        return [one for one in found if one.name not in (".", "..")]

    async def dated(self, control: Control, parts: Parts, found: Sequence[Found]) -> list[Found]:
        """The same, with times where LIST gave none that are any use; a folder has none there."""
        undated = [one for one in found if one.kind is Kind.FILE and one.modified is None]
        if control.knows_facts or not undated:
            return list(found)
        asked = [f"MDTM {self.path(control, [*parts, one.name])}" for one in undated]
        times = {
            one.name: _time(reply) for one, reply in zip(undated, await control.ask_all(asked), strict=True)
        }
        return [replace(one, modified=times.get(one.name)) for one in found]

    async def _by_facts(self, control: Control, parts: Parts) -> Found:
        reply = await control.ask(f"MLST {self.path(control, parts)}")
        if reply.code != 250:
            raise _absent(reply)
        for line in reply.lines[1:-1]:
            if (found := listing.facts(line.lstrip(" "), asked_for=True)) is not None:
                return found
        raise BadAnswer("the server says nothing of an entry that it has")

    async def _by_size(self, control: Control, parts: Parts) -> Found:
        path = self.path(control, parts)
        reply = await control.ask(f"SIZE {path}")
        if reply.code == 213:
            size = reply.lines[0].strip()
            time = _time(await control.ask(f"MDTM {path}"))
            return Found(parts[-1] if parts else "", Kind.FILE, int(size) if size.isdigit() else None, time)
        if reply.code not in _ABSENT:
            raise refusal(reply)
        reply = await control.ask(f"CWD {path}")
        if not reply.good:
            raise _absent(reply)
        return Found(parts[-1] if parts else "", Kind.FOLDER)

    async def _all_of_list(self, control: Control) -> list[Found]:
        """The current folder by LIST; `-a` shows hidden names, where it is not taken for a name itself."""
        try:
            found = listing.lines(await control.listing("LIST -a"))
        except (*_UNCLEAR, Unsupported):
            found = []
        if any(one.name == "." for one in found):
            return found
        return listing.lines(await control.listing("LIST"))

    # changing

    async def mkdir(self, control: Control, parts: Parts) -> None:
        """Makes a folder. Raises AlreadyExists, NotFound, NotAFolder, InvalidName, NotPermitted."""
        reply = await control.ask(f"MKD {self.path(control, parts)}")
        if not reply.good:
            raise await self.why_not(control, parts, refusal(reply))

    async def rename(self, control: Control, parts: Parts, to: Parts, there: Entry | None) -> None:
        """Gives an entry another place; `there` is the file that goes for it.

        Where the server renames nothing over a file, that one is set aside first and comes back on failure:
        for a moment the name is not there.
        """
        reply = await self._rename(control, parts, to)
        if not reply.good and there is not None:
            reply = await _undivided(self._rename_over(control, parts, to, reply))
        if not reply.good:
            raise await self._why_not_renamed(control, parts, to, refusal(reply), there)

    async def remove(self, control: Control, parts: Parts, kind: Kind, *, recursive: bool) -> None:
        """Removes an entry. Raises NotFound, NotPermitted, NotEmpty."""
        if kind is Kind.FILE:
            await self._remove_files(control, [parts])
            return
        inside = await self.entries(control, parts)
        if inside and not recursive:
            raise NotEmpty("the folder is not empty")
        for one in inside:
            if one.kind is Kind.FOLDER:
                await self.remove(control, [*parts, one.name], Kind.FOLDER, recursive=True)
        await self._remove_files(
            control, [[*parts, one.name] for one in inside if one.kind is not Kind.FOLDER]
        )
        reply = await control.ask(f"RMD {self.path(control, parts)}")
        if not reply.good:
            if await self.entries(control, parts):
                raise NotEmpty("the folder is not empty")
            raise await self.why_refused(control, parts, refusal(reply))

    async def _rename(self, control: Control, parts: Parts, to: Parts) -> Reply:
        reply = await control.ask(f"RNFR {self.path(control, parts)}")
        if reply.code != 350:
            return reply
        return await control.ask(f"RNTO {self.path(control, to)}")

    async def _rename_over(self, control: Control, parts: Parts, to: Parts, refused: Reply) -> Reply:
        aside = [*to[:-1], temporary_name()]
        if not (await self._rename(control, to, aside)).good:
            return refused
        reply = await self._rename(control, parts, to)
        if reply.good:
            await control.ask(f"DELE {self.path(control, aside)}")
        else:
            await self._rename(control, aside, to)
        return reply

    async def _remove_files(self, control: Control, files: Sequence[Parts]) -> None:
        replies = await control.ask_all([f"DELE {self.path(control, parts)}" for parts in files])
        for parts, reply in zip(files, replies, strict=True):
            if not reply.good:
                raise await self.why_refused(control, parts, refusal(reply))

    # refusals

    async def why_refused(self, control: Control, parts: Parts, told: StoreError) -> StoreError:
        """Why something could not be done to an entry."""
        if isinstance(told, _UNCLEAR) and await self.there(control, parts) is not None:
            return NotPermitted("the store does not permit that to this account")
        return told

    async def why_not(self, control: Control, parts: Parts, told: StoreError) -> StoreError:
        """Why a name could not be had."""
        if not isinstance(told, _UNCLEAR):
            return told
        if await self.there(control, parts) is not None:
            return AlreadyExists("the name is taken")
        if (await self.entry(control, parts[:-1])).kind is Kind.FILE:
            return NotAFolder("this is a file, not a folder")
        name = parts[-1]
        if len(name.encode(self._encoding, "surrogateescape")) > _LONGEST_NAME:
            return InvalidName("the name is longer than the store takes")
        if isinstance(told, InvalidName) and not name.startswith(TEMPORARY):
            return told
        return NotPermitted("the store does not permit that to this account")

    async def _why_not_renamed(
        self, control: Control, parts: Parts, to: Parts, told: StoreError, there: Entry | None
    ) -> StoreError:
        if await self.there(control, parts) is None:
            return NotFound(_NOT_THERE)
        if there is not None:
            return NotPermitted("the store does not let this account replace the file")
        return await self.why_not(control, to, told)


def described(parts: Parts, found: Found) -> Entry:
    """The entry. Its etag is of size and time, and of what else the server tells versions apart by."""
    is_folder = found.kind is Kind.FOLDER
    name = parts[-1] if parts else ""
    etag = None
    if not is_folder and found.size is not None and found.modified is not None:
        etag = f"{found.size:x}-{round(found.modified.timestamp() * 1_000_000):x}"
        etag += f"-{found.version}" if found.version else ""
    return Entry(
        raw_id="/".join(parts),
        name=name,
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        parent=parent_of(parts),
        size=None if is_folder else found.size,
        modified=found.modified,
        created=found.created,
        etag=etag,
        mime_type=None if is_folder else mimetypes.guess_type(name)[0],
        owner=found.owner,
        raw=found.facts,
    )


async def _undivided[T](act: Coroutine[Any, Any, T]) -> T:
    """Goes to its end although the caller is cancelled; then the caller is."""
    task = asyncio.ensure_future(act)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():  # whoever cancels once more waits too: the login is in use
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


def _time(reply: Reply) -> datetime | None:
    return listing.time(reply.lines[0]) if reply.code == 213 else None


def _absent(reply: Reply) -> StoreError:
    return NotFound(_NOT_THERE) if reply.code in _ABSENT else refusal(reply)
