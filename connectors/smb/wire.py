"""One connection to a server: many requests under way, each answer told to the asyncio task that waits.

Two threads a connection, however many transfers share it: the library's own, which receives, and one that
packs, signs and sends. Nothing blocks while a request waits for its answer, so a task that is cancelled
is rid of it at once; an answer that comes too late is dropped, or handed to whoever has to undo it.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Self

from smbprotocol import Dialects
from smbprotocol.connection import Request
from smbprotocol.exceptions import SMBException
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from connectors.interface import (
    BadAnswer,
    BadCredential,
    StoreError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from connectors.smb.errors import OVER, PENDING, dfs, library_errors
from connectors.smb.settings import SmbSettings
from connectors.smb.transport import GivenConnection

PIECE = 1024 * 1024
"""The most that one request reads or writes, which costs 16 of a connection's credits."""

_UNIT = 64 * 1024
# 8 MiB under way an account: two transfers at full speed; more share it, and a slow link answers in time
_MOST_UNDER_WAY = 128
# one request may take longer than the connection may be silent: a file that is fetched from tape
_PATIENCE = 3


class Answer(NamedTuple):
    """The status and body of one answer ([MS-SMB2] 2.2)."""

    status: int
    body: bytes


type Late = Callable[[list[Answer]], None]


class Call:
    """Messages sent as one, and the future of their answers."""

    def __init__(self, messages: list[Any], tree: Any, charge: int, late: Late | None) -> None:
        loop = asyncio.get_running_loop()
        self.messages = messages
        self.tree = tree
        self.charge = charge
        self.late = late
        self.asked = time.monotonic()
        self.future: asyncio.Future[list[Answer]] = loop.create_future()
        self.answers: list[Answer | None] = [None] * len(messages)

    def forget(self) -> None:
        """Nobody waits for it any more."""
        if not self.future.cancel() and not self.future.cancelled():
            self.future.exception()  # seen, so that asyncio does not report it

    def __await__(self) -> Any:
        try:
            return (yield from self.future.__await__())
        except asyncio.CancelledError:
            # cancelled in the turn of the event loop that brought the answers: they were not late then
            answered = self.future.done() and not self.future.cancelled() and not self.future.exception()
            if self.late is not None and answered:
                self.late(self.future.result())
            raise


class Wire:
    """A connection that is logged in. Belongs to one event loop."""

    def __init__(self, idle_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_timeout = idle_timeout
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="smb")
        self._connection: GivenConnection
        self._session: Any = None
        self._queue: deque[Call] = deque()
        self._under_way: dict[Call, None] = {}  # in the order of asking
        self._unsent = 0
        self._watching: asyncio.TimerHandle | None = None
        self._why: StoreError | None = None
        self.piece = PIECE
        """Bytes that one request reads or writes."""

    @classmethod
    async def open(cls, sock: socket.socket, settings: SmbSettings, idle_timeout: float) -> Self:
        """Negotiates SMB 3.1.1 over the socket, which is ours from now on, and logs in.

        Raises:
            BadCredential, Unsupported (an older dialect, no encryption), Unavailable, TimedOut, BadAnswer.
        """
        wire = cls(idle_timeout)
        wire._connection = GivenConnection(sock, settings.host, settings.port, wire._ended)
        try:
            await wire._blocking(partial(wire._log_in, settings))
        except BaseException:
            wire.close()
            if not wire._connection.receiving:
                wire._connection.given.release()
            raise
        return wire

    @property
    def alive(self) -> bool:
        """Whether anything can still be asked; false as soon as the socket ended, before we are told."""
        return self._why is None and self._connection.given.connected

    def close(self, why: StoreError | None = None) -> None:
        """Ends the connection at once; whoever waits gets Unavailable, or `why`."""
        if self._why is None:
            self._why = why or Unavailable("the connection to the store is closed")
        self._connection.given.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for call in [*self._under_way, *self._queue]:
            if not call.future.done():
                call.future.set_exception(type(self._why)(self._why.message))
        self._under_way.clear()
        self._queue.clear()

    async def connect_tree(self, share: str) -> Any:
        """The library's tree of a share. Raises NotFound, NotPermitted, Unsupported (DFS)."""
        tree = TreeConnect(self._session, rf"\\{self._connection.server_name}\{share}")
        await self._blocking(tree.connect)
        if tree.is_dfs_share:
            raise dfs()
        return tree

    def ask(self, messages: list[Any], tree: Any, late: Late | None = None) -> Call:
        """Sends the messages as one, as soon as the server's credits allow; related when several.

        Args:
            messages: the library's structures.
            tree: the share that they are for.
            late: is given the answers if they come after the call was forgotten or cancelled.
        """
        call = Call(messages, tree, sum(map(self._connection.charge, messages)), late)
        self._queue.append(call)
        if self._why is None:
            self._pump()
        else:
            self.close()
        return call

    def post(self, messages: list[Any], tree: Any) -> "asyncio.Future[list[Answer]]":
        """As `ask`, for what has to be sent whether or not anybody waits for it; whoever does, shields it."""
        call = self.ask(messages, tree)
        call.future.add_done_callback(lambda _: call.forget())
        return call.future

    # logging in: the library's own blocking calls, in our thread

    def _log_in(self, settings: SmbSettings) -> None:
        connection = self._connection
        try:
            connection.connect(Dialects.SMB_3_1_1, timeout=None)
        except SMBException as error:
            if getattr(error, "status", None) == 0xC00000BB:  # NOT_SUPPORTED
                raise Unsupported("the store does not offer SMB 3.1.1") from error
            raise
        if settings.encryption and not connection.supports_encryption:
            raise Unsupported("the store does not offer encryption, which the account asks for")
        user = f"{settings.domain}\\{settings.username}" if settings.domain else settings.username
        password = settings.password.get_secret_value()
        session = Session(connection, user, password, settings.encryption, auth_protocol="ntlm")
        try:
            session.connect()
        except SMBException as error:
            if session.session_id is None:  # the library's mark of a guest, whose answers nobody can sign
                raise BadCredential(
                    "the store does not know this user and offers a guest's access"
                ) from error
            raise
        self._session = session
        sizes = connection.max_read_size, connection.max_write_size, connection.max_transact_size
        self.piece = max(_UNIT, min(PIECE, *sizes, connection.credits() // 4 * _UNIT))

    async def _blocking[T](self, act: Callable[[], T]) -> T:
        """A few round trips of the library's own. When they take too long, the connection ends."""
        if self._why is not None:
            raise type(self._why)(self._why.message)
        with library_errors():
            try:
                async with asyncio.timeout(self._idle_timeout):
                    return await self._loop.run_in_executor(self._pool, act)
            except TimeoutError:
                silent = TimedOut("the store did not answer in time")
                self.close(silent)
                raise silent from None
            except asyncio.CancelledError:
                self.close()  # the thread may wait in vain: nothing else would end it
                raise

    # sending

    def _pump(self) -> None:
        """Hands on what the credits allow, in the order of asking."""
        while self._queue:
            call = self._queue[0]
            if not call.future.done():
                busy = sum(other.charge for other in self._under_way)
                if busy and busy + call.charge > _MOST_UNDER_WAY:
                    return
                if call.charge > self._connection.credits() - self._unsent:
                    if not busy:
                        self.close(BadAnswer("the store grants too few credits"))
                    return
                self._start(call)
            self._queue.popleft()

    def _start(self, call: Call) -> None:
        call.asked = time.monotonic()
        self._under_way[call] = None
        self._unsent += call.charge
        sending = self._loop.run_in_executor(self._pool, self._send, call)
        sending.add_done_callback(partial(self._sent, call))
        if self._watching is None:
            self._watch()

    def _send(self, call: Call) -> None:
        table = self._connection.outstanding_requests
        table.calling(_Told(self, call))
        try:
            self._connection.send_compound(
                call.messages, self._session.session_id, call.tree.tree_connect_id, related=True
            )
        finally:
            table.calling(None)

    def _sent(self, call: Call, sending: "asyncio.Future[None]") -> None:
        self._unsent -= call.charge
        call.messages = []
        error = None if sending.cancelled() else sending.exception()
        if error is not None:
            self._ended_here()
            if not isinstance(error, OSError | SMBException):
                raise error  # a mistake of ours: asyncio reports it
        self._pump()

    # answers

    def _tell(self, act: Callable[[], None]) -> None:
        """Into the event loop, from the receiving thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(act)

    def _answered(self, call: Call, position: int, request: Request) -> None:
        header = request.response
        if header is None or call.answers[position] is not None:
            return  # the connection ended, or this was said already
        status = header["status"].get_value()
        if status == PENDING:
            return
        self._connection.outstanding_requests.pop(request.message["message_id"].get_value(), None)
        call.answers[position] = Answer(status, header["data"].get_value())
        answers = [answer for answer in call.answers if answer is not None]
        if len(answers) < len(call.answers):
            return
        self._under_way.pop(call, None)
        if not call.future.done():
            call.future.set_result(answers)
        elif call.late is not None and self.alive:
            call.late(answers)
        if OVER.intersection(answer.status for answer in answers):
            self.close(Unavailable("the store ended the account's session"))
        self._pump()

    def _ended(self) -> None:
        """The receiving thread is at its end; called in it."""
        self._tell(self._ended_here)

    def _ended_here(self) -> None:
        if self._connection.nonsense:
            self.close(BadAnswer("the store's answer is not SMB, or not signed by it"))
        else:
            self.close(Unavailable("the connection to the store broke"))

    # silence

    def _watch(self) -> None:
        """Looks now and then for a silent connection, and for a request that is never answered."""
        self._watching = None
        if not self._under_way:
            return
        now = time.monotonic()
        silent = TimedOut("the store did not answer in time")
        oldest = next(iter(self._under_way))
        if now - max(oldest.asked, self._connection.given.moved) > self._idle_timeout:
            self.close(silent)
            return
        for call in self._under_way:
            if now - call.asked > _PATIENCE * self._idle_timeout and not call.future.done():
                call.future.set_exception(silent)
        self._watching = self._loop.call_later(self._idle_timeout / 8, self._watch)


class _Told:
    """Takes the word of an answer from the receiving thread to the event loop."""

    def __init__(self, wire: Wire, call: Call) -> None:
        self._wire = wire
        self._call = call

    def answered(self, position: int, request: Request) -> None:
        self._wire._tell(partial(self._wire._answered, self._call, position, request))  # noqa: SLF001  our own module
