"""Where one of several api processes takes its connections, so that each gets its part.

They all listen on the same sockets. Left to themselves, whoever wakes first takes all that wait (uvloop
accepts until there is none), and clients keep their connections: one process would work while the others
idle. So each takes only what it may have before it holds more than the one that holds fewest. What it leaves
is taken by another, which the kernel wakes as well, or a moment later by itself: who hangs holds nobody up.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

import uvicorn

from gateway.board import Board
from gateway.listening import BACKLOG

_log = logging.getLogger(__name__)
_LEFT_TO_OTHERS: Final = 0.002
_OUT_OF_FILES: Final = 1.0  # as asyncio's own servers wait
_NO_MORE_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class SharedServer(uvicorn.Server):
    """uvicorn's server on sockets that other processes take connections from, too.

    Args:
        config: uvicorn's.
        sockets: bound; whoever is ready first lets them listen.
        board: where the processes tell how many connections they hold.
        number: which of them this is, from 1.
        of: how many there are.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: Sequence[socket.socket], board: Board, *, number: int, of: int
    ) -> None:
        super().__init__(config)
        self._sockets = sockets
        self._board = board
        self._number = number
        self._of = of
        self._arriving = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with no socket that it would take everything from."""
        await super().startup(sockets=[])

    async def main_loop(self) -> None:
        """Takes connections until it is told to end; those that it has may go on after that."""
        async with asyncio.TaskGroup() as arriving:

            def take(sock: socket.socket) -> None:
                self._arriving += 1
                self._tell()
                arriving.create_task(self._welcome(sock), name="a connection")

            doors = [Door(sock, self._room, take) for sock in self._sockets]
            for door in doors:
                door.open()
            try:
                await super().main_loop()
            finally:
                for door in doors:
                    door.close()

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn's ten times a second: tells what it holds, since clients leave by themselves."""
        self._tell()
        return await super().on_tick(counter)

    def _room(self) -> int:
        """How many it may take before it holds more than another."""
        return min(self._board.held_by_others(self._number, self._of)) - self._held + 1

    @property
    def _held(self) -> int:
        return len(self.server_state.connections) + self._arriving

    def _tell(self) -> None:
        self._board.holds(self._number, self._held)

    async def _welcome(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, sock)
        except OSError:  # it has left again
            sock.close()
        finally:
            self._arriving -= 1

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes them for sockets of its own."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn's is `type[Protocol]`
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


class Door:
    """One listening socket: takes as many connections at a time as there is room for.

    Args:
        sock: bound.
        room: how many may be taken now; none or less leaves them to others for a moment.
        take: is given each.
    """

    def __init__(
        self, sock: socket.socket, room: Callable[[], int], take: Callable[[socket.socket], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._room = room
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """From now on. It listens already where another process was faster, or was here before."""
        self._sock.listen(BACKLOG)
        self._watch()

    def _watch(self) -> None:
        self._loop.add_reader(self._sock, self._knocked)

    def close(self) -> None:
        """No more, and the socket is closed; what waits is for others."""
        self._loop.remove_reader(self._sock)
        if self._later is not None:
            self._later.cancel()
        self._sock.close()

    def _knocked(self) -> None:
        room = self._room()
        if room > 0:
            self._accept(room)
        else:
            self._pause(_LEFT_TO_OTHERS)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._later = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._watch()
        self._accept(max(1, self._room()))  # nobody else took it

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_MORE_FILES:
                    raise
                _log.error("no connection can be taken", extra={"cause": error.strerror})
                self._pause(_OUT_OF_FILES)
                return
            self._take(sock)
