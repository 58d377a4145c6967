"""How the native proxy gets a connection to a store: the worker opens it, and its socket comes here.

A question is a line of JSON on a connection of its own to the worker's Unix socket; the answer is a line of
JSON with the socket's descriptor beside it (unix(7), SCM_RIGHTS), or with the error alone. Where the socket
leads through an agent the question's connection stays, and ends when that agent leaves.
"""

import asyncio
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.operations.errors import WorkerUnavailable, from_json
from gateway.operations.messages import AccountRef

LONGEST: Final = 64 * 1024
"""Bytes of a question or an answer."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection that the worker opened. Whoever has it closes it.

    Attributes:
        sock: connected, non-blocking.
        agent: ends (it can be read, b"") when the agent that `sock` leads through takes no more, or is gone;
            None without an agent.
    """

    sock: socket.socket
    agent: socket.socket | None = None

    def close(self) -> None:
        """Closes both."""
        self.sock.close()
        if self.agent is not None:
            self.agent.close()


class Dialing:
    """Asks a worker for connections.

    Both methods raise NotPermitted when the worker does not go there, what dialers raise when the store was
    not reached, and WorkerUnavailable.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = str(socket_path)

    async def store(self, account: AccountRef, host: str, port: int, *, tls: bool) -> Dialled:
        """To an origin of the account, through its private network.

        With `tls` the worker speaks TLS with the store, and the socket carries what is inside: HTTP/1.1.
        """
        return await self._ask({"dial": "store", "account": account, "host": host, "port": port, "tls": tls})

    async def past(self, account: AccountRef, host: str, port: int) -> Dialled:
        """To a host that `proxy_pass` lists and that is none of the account's, from the gateway itself."""
        return await self._ask({"dial": "past", "account": account, "host": host, "port": port})

    async def _ask(self, question: dict[str, Any]) -> Dialled:
        loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            asking = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            asking.setblocking(False)
            try:
                await loop.sock_connect(asking, self._path)
                await loop.sock_sendall(asking, orjson.dumps(question) + b"\n")
                answer, given = await _answer(asking)
            except OSError as error:
                raise WorkerUnavailable("no worker took the request; try again in a moment") from error
            if given is None:
                raise from_json(answer)
            if not answer["agent"]:
                return Dialled(given)
            opened.pop_all()
            return Dialled(given, asking)


async def _answer(asking: socket.socket) -> tuple[dict[str, Any], socket.socket | None]:
    """The answer and what came with it. Raises ConnectionError when there is none."""
    line, given = b"", None
    try:
        while not line.endswith(b"\n"):
            await _readable(asking)
            piece, descriptors, *_ = socket.recv_fds(asking, LONGEST, 1)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                given = socket.socket(fileno=descriptor)
            if not piece:
                raise ConnectionError("the worker went away before its answer")
            line += piece
        return orjson.loads(line), given
    except BaseException:
        if given is not None:
            given.close()
        raise


async def _readable(sock: socket.socket) -> None:
    """Returns when something can be read: asyncio has no call that takes descriptors."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(sock, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(sock)
