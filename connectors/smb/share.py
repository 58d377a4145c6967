"""One share of a connected server: handles, and small requests that need none for longer."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from connectors.interface import InvalidName, NotFound, StoreError
from connectors.smb import messages
from connectors.smb.errors import BUFFER_OVERFLOW, NO_MORE_FILES, NO_SUCH_FILE, SUCCESS, refusal
from connectors.smb.messages import FOLDER, ITSELF, OPEN, Access, Facts, Sharing
from connectors.smb.wire import Answer, Call, Wire

_CLOSED_WITHIN = 5.0  # seconds that a close may take before we leave it to itself


class Handle:
    """A file, folder or pipe that is open on the server.

    Attributes:
        facts: what it was when it was opened.
        path: where it is, in the case that its names were given.
    """

    def __init__(self, share: "Share", handle: bytes, facts: Facts, path: str) -> None:
        self.share = share
        self.id = handle
        self.facts = facts
        self.path = path
        self._open = True

    def read(self, offset: int, size: int) -> Call:
        """Asks for bytes; the answer's body is for `messages.got`."""
        return self.share.ask(messages.read(self.id, offset, size))

    def write(self, offset: int, piece: bytes) -> Call:
        """Sends bytes; the answer's body is for `messages.stored`."""
        return self.share.ask(messages.write(self.id, offset, piece))

    async def control(self, code: int, given: bytes, size: int) -> memoryview:
        """What a control code gives; as much of it as there is room for."""
        (answer,) = await self.share.ask(messages.control(self.id, code, given, size))
        return messages.controlled(_good(answer, BUFFER_OVERFLOW))

    async def copy_from(self, key: bytes, ranges: list[tuple[int, int]]) -> None:
        """Has the server copy these ranges of the file with that key."""
        await self.share.run(messages.copying(self.id, key, ranges))

    async def resize(self, size: int) -> None:
        """Cuts the file to this size."""
        await self.share.run(messages.resizing(size, self.id))

    async def rename(self, path: str, *, replace: bool) -> None:
        """Gives the file another path. Raises AlreadyExists unless `replace`."""
        await self.share.run(messages.renaming(path, replace=replace, handle=self.id))

    async def place(self, path: str, *, replace: bool) -> None:
        """Gives a file that would go at its close another path, where it stays.

        When that fails it goes after all. A caller that is cancelled meanwhile leaves it to the server's
        answer: to delete the file then could delete what has its place already.
        """
        placed = self.share.post(messages.deleting(False, self.id), messages.renaming(path, replace=replace))
        try:
            for answer in await asyncio.shield(placed):
                _good(answer)
        except asyncio.CancelledError:
            self._open = False
            placed.add_done_callback(self._settle)
            raise
        except StoreError:
            self.share.post(messages.deleting(True, self.id))
            raise

    async def aclose(self) -> None:
        """Closes it, once; a caller that is cancelled meanwhile leaves the close under way."""
        if self._open:
            self._open = False
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_CLOSED_WITHIN):
                    await asyncio.shield(self.share.post(messages.close(self.id)))

    async def close_with_facts(self) -> Facts:
        """Closes it; what the file was at that moment."""
        self._open = False
        (answer,) = await asyncio.shield(self.share.post(messages.close(self.id, facts=True)))
        return messages.closed(_good(answer))

    def _settle(self, placed: "asyncio.Future[list[Answer]]") -> None:
        if placed.exception() is not None:
            return  # the connection broke, which closed it
        if all(answer.status == SUCCESS for answer in placed.result()):
            self.share.post(messages.close(self.id))
        else:
            self.share.post(messages.deleting(True, self.id), messages.close())


class Share:
    """Verbs on paths. Each is one round trip unless it says otherwise."""

    def __init__(self, wire: Wire, tree: Any) -> None:
        self._wire = wire
        self._tree = tree

    @property
    def piece(self) -> int:
        """Bytes that one request reads or writes at most."""
        return self._wire.piece

    def ask(self, *wanted: Any) -> Call:
        """Sends the messages as one."""
        return self._wire.ask(list(wanted), self._tree)

    def post(self, *wanted: Any) -> "asyncio.Future[list[Answer]]":
        """Sends what has to be sent, whether or not anybody waits for it."""
        return self._wire.post(list(wanted), self._tree)

    async def run(self, *wanted: Any) -> list[bytes]:
        """The bodies of the answers. Raises what the first one that is not a success stands for."""
        return [_good(answer) for answer in await self.ask(*wanted)]

    async def look(self, path: str) -> tuple[Facts, str]:
        """What is there, and its true path. Raises NotFound."""
        wanted = [
            messages.create(path, Access.LOOK, Sharing.ALL),
            messages.index(),
            messages.true_path(),
            messages.close(),
        ]
        opened, *told, _ = await self.ask(*wanted)
        with absent():
            _, facts = messages.created(_good(opened))
        return _known(facts, path, told)

    async def open(
        self,
        path: str,
        access: Access,
        sharing: Sharing,
        disposition: int = OPEN,
        options: int = 0,
        then: Sequence[Any] = (),
    ) -> Handle:
        """An open handle, after the messages in `then`, which are related to it."""
        wanted = [
            messages.create(path, access | Access.LOOK, sharing, disposition, options),
            messages.index(),
            messages.true_path(),
            *then,
        ]
        opened, *told = await self._wire.ask(wanted, self._tree, self._too_late)
        handle, facts = messages.created(_good(opened))
        found = Handle(self, handle, *_known(facts, path, told[:2]))
        try:
            for answer in told[2:]:
                _good(answer)
        except StoreError:
            await found.aclose()
            raise
        return found

    @asynccontextmanager
    async def opened(self, *how: Any, **more: Any) -> AsyncIterator[Handle]:
        """As `open`, and closes it at the end."""
        handle = await self.open(*how, **more)
        try:
            yield handle
        finally:
            await handle.aclose()

    async def make_folder(self, path: str) -> None:
        """Raises AlreadyExists, NotFound (no parent), InvalidName."""
        await self.run(
            messages.create(path, Access.LOOK, Sharing.ALL, messages.CREATE, FOLDER), messages.close()
        )

    async def make_file(self, path: str) -> None:
        """An empty file; none when the caller is cancelled meanwhile.

        Raises AlreadyExists, NotFound (no parent).
        """
        access = Access.WRITE | Access.LOOK
        making = self.ask(
            messages.create(path, access, Sharing.ALL, messages.CREATE, messages.FILE), messages.close()
        )
        try:
            for answer in await making:
                _good(answer)
        except asyncio.CancelledError:
            self.post(*_change(path, messages.deleting(True)))
            raise

    async def rename(self, path: str, to: str, *, replace: bool) -> None:
        """Moves a file or folder, or a link itself. Raises NotFound, AlreadyExists."""
        await self._change(path, messages.renaming(to, replace=replace))

    async def remove(self, path: str) -> None:
        """Removes a file, an empty folder, or a link itself. Raises NotFound, NotEmpty."""
        await self._change(path, messages.deleting(True))

    @asynccontextmanager
    async def folder(self, path: str) -> AsyncIterator[Handle]:
        """The folder, open for `entries`. Raises NotFound, NotAFolder."""
        with absent():
            handle = await self.open(path, Access.READ, Sharing.ALL, options=FOLDER)
        try:
            yield handle
        finally:
            await handle.aclose()

    async def entries(self, folder: Handle) -> AsyncIterator[Facts]:
        """Everything in a folder, in the server's order; a round trip for some thousand."""
        while True:
            (answer,) = await self.ask(messages.listing(folder.id, self.piece))
            if answer.status in (NO_MORE_FILES, NO_SUCH_FILE):
                return
            for facts in messages.listed(_good(answer)):
                if facts.name not in (".", ".."):
                    yield facts

    async def room(self) -> tuple[int, int, int]:
        """Bytes of the share's file system: all, free for this user, free."""
        opened = messages.create("", Access.LOOK, Sharing.ALL)
        _, told, _ = await self.run(opened, messages.room(), messages.close())
        return messages.room_told(told)

    async def _change(self, path: str, change: Any) -> None:
        answers = await self.ask(*_change(path, change))
        with absent():
            handle, _ = messages.created(_good(answers[0]))
        if answers[2].status != SUCCESS:  # [MS-SMB2] 3.3.5.2.7.2 lets it go on after a failure; not all do
            self.post(messages.close(handle))
        _good(answers[1])

    def _too_late(self, answers: list[Answer]) -> None:
        """Whoever wanted a handle is gone: close it."""
        if answers[0].status == SUCCESS:
            handle, _ = messages.created(answers[0].body)
            self.post(messages.close(handle))


@contextmanager
def absent() -> Iterator[None]:
    """What can't be a name is not there, for a verb that makes nothing."""
    try:
        yield
    except InvalidName as error:
        raise NotFound("there is no such file or folder") from error


def _change(path: str, change: Any) -> tuple[Any, Any, Any]:
    opened = messages.create(path, Access.DELETE | Access.LOOK, Sharing.ALL, OPEN, ITSELF)
    return opened, change, messages.close()


def _good(answer: Answer, *also: int) -> bytes:
    if answer.status != SUCCESS and answer.status not in also:
        raise refusal(answer.status)
    return answer.body


def _known(facts: Facts, path: str, told: Sequence[Answer]) -> tuple[Facts, str]:
    """The facts with the file's number, and the true path; both asked for, and some servers say neither."""
    number, true = told
    known = Facts(
        facts.attributes,
        facts.size,
        facts.created,
        facts.written,
        facts.changed,
        messages.index_told(number.body) if number.status == SUCCESS else 0,
    )
    return known, messages.path_told(true.body) if true.status == SUCCESS else path
