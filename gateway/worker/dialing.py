"""Where the native proxy gets its connections to stores: a Unix socket whose answers carry descriptors.

One connection is one question, a line of JSON, and one answer: a line of JSON, and with it the socket
(unix(7), SCM_RIGHTS) or the reason why there is none. Where that leads through an agent the connection stays
open, and ends when the agent leaves: the proxy alone knows when it can do without the socket. Only who may
open the socket's file can ask, and only for places that are an account's or listed; who goes away before the
answer ends the dial.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any, Final

import orjson

from connectors.interface import StoreError, Unavailable, Unsupported
from gateway.operations import dialing
from gateway.operations.errors import to_json
from gateway.worker.accounts import one_work
from gateway.worker.answers import ClientGone, Receive, until_gone
from gateway.worker.desk import Desk
from gateway.worker.operations.dials import DIALS
from gateway.worker.outside.ways import Opened

_log = logging.getLogger(__name__)
_QUESTION_TIMEOUT: Final = 5.0
_NO_DESCRIPTORS: Final = 1.0
"""Seconds to wait when the process has no descriptor left for one more question."""


async def serve(desk: Desk, listening: socket.socket) -> None:
    """Answers on the socket until cancelled; closes it then."""
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    with listening:
        async with asyncio.TaskGroup() as answers:
            while True:
                try:
                    asking, _ = await loop.sock_accept(listening)
                except OSError as error:
                    _log.warning("the proxy's question was not taken: %s", error.strerror)
                    await asyncio.sleep(_NO_DESCRIPTORS)
                else:
                    answers.create_task(_answer(desk, asking), name="dial for the proxy")


async def _answer(desk: Desk, asking: socket.socket) -> None:
    """One question, as the root of its task: whatever goes wrong ends this one alone."""
    with asking:
        try:
            question = await _question(asking)
            with one_work():
                made = await until_gone(_gone(asking), _opened(desk, question))
            with made.sock:
                _say(asking, {"agent": made.agent_left is not None}, made.sock)
            if made.agent_left is not None:
                await until_gone(_gone(asking), made.agent_left.wait())
        except (ClientGone, TimeoutError, ConnectionError):
            return
        except StoreError as error:
            _say(asking, to_json(error))
        except Exception:  # noqa: BLE001  the root of the task
            _log.exception("a dial for the proxy failed")
            _say(asking, to_json(Unavailable("the gateway failed; its log has the reason")))


async def _question(asking: socket.socket) -> dict[str, Any]:
    """Raises ConnectionError when none comes."""
    loop, line = asyncio.get_running_loop(), b""
    async with asyncio.timeout(_QUESTION_TIMEOUT):
        while not line.endswith(b"\n"):
            piece = await loop.sock_recv(asking, dialing.LONGEST)
            if not piece or len(line) > dialing.LONGEST:
                raise ConnectionError("no whole question")
            line += piece
    asked: dict[str, Any] = orjson.loads(line)
    return asked


async def _opened(desk: Desk, question: dict[str, Any]) -> Opened:
    dial = DIALS.get(question["dial"])
    if dial is None:
        raise Unsupported("this worker has no such dial: are proxy and worker of one release?")
    return await desk.ways.opened(await dial(desk, question))


def _gone(asking: socket.socket) -> Receive:
    """What `until_gone` watches: the proxy says nothing more, so that all that comes is its end."""

    async def receive() -> dict[str, Any]:
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_recv(asking, 1)
        return {"type": "http.disconnect"}

    return receive


def _say(asking: socket.socket, answer: dict[str, Any], made: socket.socket | None = None) -> None:
    """Sends the one answer: it fits into the socket's empty buffer. A proxy that is gone gets none."""
    line = orjson.dumps(answer) + b"\n"
    try:
        if made is None:
            asking.send(line)
        else:
            socket.send_fds(asking, [line], [made.fileno()])
    except OSError:
        _log.info("the proxy went away before its connection was made")
