"""An answer whose content comes from a worker piece by piece, at the client's pace."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connectors.interface import StoreError
from gateway.operations import WorkerUnavailable

_log = logging.getLogger(__name__)
_TAKEN: Final = {"type": "http.response.body", "body": b"", "more_body": True}


class Opened(Protocol):
    """What a worker has opened: its pieces, how many bytes they are together if known, how to stop."""

    @property
    def length(self) -> int | None:
        """Bytes of the content; None: not known."""

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The content; iterated once."""

    @property
    def aclose(self) -> Callable[[], Awaitable[None]]:
        """Cancels everything behind it at once."""


class Streamed(Response):
    """Passes the pieces on as they are; always gives up what was opened.

    Args:
        opened: the content.
        status: of the answer.
        headers: names in lower case; the content's length is the caller's to say.
        idle_timeout: seconds that a client may take nothing at all.
    """

    def __init__(
        self, opened: Opened, status: int, headers: Sequence[tuple[bytes, bytes]], idle_timeout: float
    ) -> None:
        self._opened = opened
        self._idle_timeout = idle_timeout
        self.status_code = status
        self.background = None
        self.raw_headers = list(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it. What breaks after the head ends the connection, so that it can't look whole."""
        opened, sent = self._opened, 0
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in opened.chunks:
                sent += len(piece)
                async with asyncio.timeout(self._idle_timeout):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await send(_TAKEN)  # uvicorn waits before it sends: the next piece is left where it is
                await asyncio.sleep(0)  # neither end has to wait when both are fast: let the others run
            if opened.length is not None and sent != opened.length:
                _log.error("a download has another length than was declared", extra={"sent": sent})
                return
            await send({"type": "http.response.body", "body": b""})
        except (StoreError, WorkerUnavailable) as error:
            _log.warning("a download broke", extra={"sent": sent, "cause": str(error)})
        except TimeoutError:
            _log.warning("a download was given up: the client takes nothing", extra={"sent": sent})
        finally:
            await opened.aclose()
