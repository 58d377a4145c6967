"""Who may work on which upload now: its parts side by side, one part by one writer, its end alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connectors.interface import NotFound, PreconditionFailed


@dataclass(slots=True)
class _Held:
    """An upload that somebody works on. Each writer has a deadline that ending the upload may bring about."""

    ending: bool = False
    writing: set[asyncio.Timeout] = field(default_factory=set)
    locks: dict[int, asyncio.Lock] = field(default_factory=dict)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """Gives the turns, within this worker."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    @asynccontextmanager
    async def part(self, upload: str, number: int) -> AsyncIterator[None]:
        """While inside, this part is written; another writer of the same number waits.

        Raises PreconditionFailed while the upload is ended, NotFound when it is abandoned meanwhile.
        """
        held = self._held.setdefault(upload, _Held())
        if held.ending:
            raise PreconditionFailed("the upload is being completed or abandoned")
        until = asyncio.timeout(None)
        try:
            async with until:
                held.writing.add(until)
                held.quiet.clear()
                async with held.locks.setdefault(number, asyncio.Lock()):
                    yield
        except TimeoutError:
            if until.expired():
                raise NotFound("the upload was abandoned") from None
            raise
        finally:
            held.writing.discard(until)
            if not held.writing:
                held.quiet.set()
                self._leave(upload, held)

    @asynccontextmanager
    async def end(self, upload: str, *, stop_writers: bool) -> AsyncIterator[None]:
        """While inside, nobody else works on the upload.

        Raises PreconditionFailed when another ends it already, or when parts are being written and the
        writers are not to be stopped.
        """
        held = self._held.setdefault(upload, _Held())
        if held.ending or (held.writing and not stop_writers):
            raise PreconditionFailed("the upload is in use: parts are being written, or it is being ended")
        held.ending = True
        try:
            for until in held.writing:
                until.reschedule(asyncio.get_running_loop().time())
            if held.writing:
                await held.quiet.wait()
            yield
        finally:
            held.ending = False
            self._leave(upload, held)

    def _leave(self, upload: str, held: _Held) -> None:
        if not held.writing and not held.ending and self._held.get(upload) is held:
            del self._held[upload]
