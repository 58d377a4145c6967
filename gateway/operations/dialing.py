"""How the native proxy gets a connection to a store: the worker opens it, and its socket comes here.

A question is a line of JSON on a connection of its own to the worker's Unix socket; the answer is a line of
JSON with the socket's descriptor beside it (unix(7), SCM_RIGHTS), or with the error alone.
"""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.operations.errors import WorkerUnavailable, from_json
from gateway.operations.messages import AccountRef

LONGEST: Final = 64 * 1024
"""Bytes of a question or an answer."""


class Dialing:
    """Asks a worker for connections.

    Both methods give a connected, non-blocking socket, and raise NotPermitted when the worker does not go
    there, what dialers raise when the store was not reached, and WorkerUnavailable.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = str(socket_path)

    async def store(self, account: AccountRef, host: str, port: int, *, tls: bool) -> socket.socket:
        """To an origin of the account, through its private network.

        With `tls` the worker speaks TLS with the store, and the socket carries what is inside: HTTP/1.1.
        """
        return await self._ask({"dial": "store", "account": account, "host": host, "port": port, "tls": tls})

    async def past(self, account: AccountRef, host: str, port: int) -> socket.socket:
        """To a host that `proxy_pass` lists and that is none of the account's, from the gateway itself."""
        return await self._ask({"dial": "past", "account": account, "host": host, "port": port})

    async def _ask(self, question: dict[str, Any]) -> socket.socket:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.setblocking(False)
            try:
                await loop.sock_connect(asking, self._path)
                await loop.sock_sendall(asking, orjson.dumps(question) + b"\n")
                answer, given = await _answer(asking)
            except OSError as error:
                raise WorkerUnavailable("no worker took the request; try again in a moment") from error
        if given is None:
            raise from_json(answer)
        return given


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
