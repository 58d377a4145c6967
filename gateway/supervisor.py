"""Starts the processes of `isthmus serve`, restarts one that died, and drains them on SIGTERM."""

import asyncio
import errno
import fcntl
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway import listening, telemetry
from gateway.board import Board
from gateway.operations.client import Operations
from gateway.proxy.counting.collector import Collector
from gateway.settings import Settings

_log = logging.getLogger(__name__)
_SHORTEST_LIFE = 1.0


class Supervisor:
    """One worker, apis, and proxies if they have a port; each its own process of this same program."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._children: dict[tuple[str, int], asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        """Serves until SIGTERM or SIGINT; returns the exit status."""
        telemetry.start("supervisor", self._settings.log_level)
        with self._alone():
            return await self._serve()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While inside, no other supervisor serves this folder: it would take the worker's sockets away.

        The lock is the kernel's, so nothing is left of one that is killed. The children do not inherit it.
        """
        folder = self._settings.data / "run"
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK:  # a file system without locks
                    _log.warning("nobody else is kept from serving this folder: %s", error.strerror)
                else:
                    raise SystemExit(
                        f"'isthmus serve' is running already for {self._settings.data}: stop it first, "
                        "or give this one another folder by --data"
                    ) from None
            yield
        finally:
            os.close(descriptor)

    async def _serve(self) -> int:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # for the processes, which inherit it: connections are descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for_api, for_proxy = self._api_sockets(), self._proxy_sockets()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(self._keep("worker"), name="worker")]
            await self._until_worker_answers()
            board = Board.make()
            keepers += [
                tasks.create_task(self._keep("api", number, for_api, board), name=f"api {number}")
                for number in range(1, self._settings.api_processes + 1)
            ]
            if for_proxy:
                listening.announce(self._settings.proxy_place, for_proxy)
                keepers += [
                    tasks.create_task(self._keep("proxy", number, for_proxy), name=f"proxy {number}")
                    for number in range(1, self._settings.proxy_processes + 1)
                ]
                counts = Collector(self._settings.data / "run")
                keepers.append(tasks.create_task(counts.run(), name="counts"))
            await self._stopping.wait()
            for sock in (*for_api, *for_proxy):  # no new connection waits for a process that does not come
                sock.close()
            await self._drain(keepers)
        return 0

    def _api_sockets(self) -> Sequence[socket.socket]:
        """What all apis listen on together, once the first is ready: who finds the port open is answered."""
        host, port = self._settings.host, self._settings.port
        return self._or_ends("the API", port, lambda: listening.bound(host, port))

    def _proxy_sockets(self) -> Sequence[socket.socket]:
        """What all proxies listen on together; none without a port."""
        host, port = self._settings.host, self._settings.proxy_port
        if port is None:
            return ()
        return self._or_ends("the native proxy", port, lambda: listening.listening(host, port))

    def _or_ends[T](self, what: str, port: int, opened: Callable[[], T]) -> T:
        """What is opened; the command ends, and says why, when the port is taken."""
        try:
            return opened()
        except OSError as error:
            where = f"{self._settings.host}:{port}"
            raise SystemExit(f"{what} can't listen on {where}: {error.strerror}") from None

    async def _keep(
        self,
        role: str,
        number: int = 1,
        sockets: Sequence[socket.socket] = (),
        board: Board | None = None,
    ) -> None:
        """Starts the process again whenever it ends, at most once a second, until we stop."""
        loop = asyncio.get_running_loop()
        descriptors = [sock.fileno() for sock in sockets]
        words = [word for one in descriptors for word in ("--listening", str(one))]
        if board is not None:
            descriptors.append(board.descriptor)
            words += ["--board", str(board.descriptor)]
        while not self._stopping.is_set():
            started = loop.time()
            try:
                child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "gateway.cli.main", "process", role, "--with-parent"),
                    *("--number", str(number), *words),
                    env=self._environment(),
                    pass_fds=descriptors,
                    stdin=asyncio.subprocess.PIPE,  # never written to: its end is ours
                )
            except OSError as error:  # no memory, or no process number: the others go on
                _log.error("a process can't be started now", extra={"role": role, "cause": error.strerror})
                await asyncio.sleep(_SHORTEST_LIFE)
                continue
            self._children[role, number] = child
            status = await child.wait()
            if self._stopping.is_set():
                return
            _log.error(
                "a process ended and is started again",
                extra={"role": role, "number": number, "status": status},
            )
            await asyncio.sleep(max(0.0, _SHORTEST_LIFE - (loop.time() - started)))

    async def _drain(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """The worker last, so that the others' requests still find it; what takes too long is killed."""
        for role in ("proxy", "api", "worker"):
            children = [
                child
                for (its_role, _), child in self._children.items()
                if its_role == role and child.returncode is None
            ]
            for child in children:
                child.terminate()
            try:
                async with asyncio.timeout(self._settings.drain_timeout + 5):
                    for child in children:
                        await child.wait()
            except TimeoutError:
                _log.warning("a process did not drain in time and is killed", extra={"role": role})
                for child in children:
                    if child.returncode is None:
                        child.kill()
        self._settings.proxy_place.unlink(missing_ok=True)
        for keeper in keepers:
            keeper.cancel()

    async def _until_worker_answers(self) -> None:
        operations = Operations(self._settings.worker_socket, self._settings.calls_socket)
        try:
            while not self._stopping.is_set() and not await operations.ready():  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)
        finally:
            await operations.aclose()

    def _environment(self) -> dict[str, str]:
        """The settings as the children read them: the same environment, with the options laid over it."""
        given = {
            f"ISTHMUS_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self._settings.model_dump(mode="json").items()
            if value is not None
        }
        return {**os.environ, **given}  # noqa: TID251  the children read their settings from it


def end_with_parent() -> None:
    """In a child: drains when the supervisor is gone, however it went; standard input ends then."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor gone?", daemon=True).start()


def serve(settings: Settings) -> int:
    """Runs the supervisor in this process."""
    return asyncio.run(Supervisor(settings).run())
