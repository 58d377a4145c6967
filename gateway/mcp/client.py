"""The gateway's HTTP API as this server uses it: JSON, parts of files, long calls as tasks.

Built on httpx2, which the MCP SDK brings: what passes here is bounded, so its cost a byte does not matter.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from mcp.server.mcpserver.exceptions import ToolError

from gateway.mcp.settings import Settings

_CONNECT_WITHIN = 10.0
_SILENCE = 120.0  # twice the gateway's own patience with a store
_LONGEST_PAUSE = 2.0
_TIDY_WITHIN = 5.0
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
NOT_YOURS = "there is no such thing, or it is not yours"  # word for word what the gateway says

type Told = Callable[[float, float | None], Awaitable[None]]


class Failed(ToolError):
    """A call that failed, as the model is told: the gateway's own words, never a secret.

    `status` is the HTTP status; 0 when there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a file: its bytes from `first` on.

    Attributes:
        size: of the whole file; None where the store does not say.
        last: whether the file ends with this piece.
        version: names this version of the file; None where the store has none.
    """

    data: bytes
    first: int
    size: int | None
    last: bool
    version: str | None
    mime_type: str


class Gateway:
    """The API. Every method raises Failed. Open it with `opened`."""

    def __init__(self, http: httpx2.AsyncClient, allowed: frozenset[int]) -> None:
        self._http = http
        self._allowed = allowed
        self._only: int | None = None

    async def accounts(self) -> list[dict[str, Any]]:
        """Every account that may be used here, as the API describes it."""
        found: list[dict[str, Any]] = []
        page: object = 1
        while page is not None:
            answer = await self.call("GET", "accounts", query={"page": page, "page_size": 1000})
            found += answer["objects"]
            page = answer["next_page"]
        return [one for one in found if not self._allowed or one["id"] in self._allowed]

    async def account(self, given: int | None) -> int:
        """The account to use: the given one if it may be used, or the only one there is."""
        if given is not None:
            if self._allowed and given not in self._allowed:
                raise Failed(f"{NOT_YOURS} (404 not_found)", 404)
            return given
        if self._only is None:
            known = [one["id"] for one in await self.accounts()]
            if len(known) != 1:
                raise Failed(f"say which account: there are {len(known)}, and 'accounts' lists them", 400)
            self._only = known[0]
        return self._only

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that a call answers, None for an answer without any. `path` is below `/v1/`."""
        sent: dict[str, Any] = {} if content is None else {"content": content}
        if body is not None:
            sent["json"] = body
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        with _told():
            answer = await self._http.request(method, path, params=asked, headers=headers, **sent)
            if answer.status_code >= 300:
                raise _failure(answer)
            return answer.json() if answer.content else None

    async def long(
        self, method: str, account: int, path: str, told: Told, *, query: Any = None, body: Any = None
    ) -> Any:
        """What a call that may take long answers, when its task has ended. Cancelling ends the task.

        `path` is below the account's storage. `told` hears of the bytes that passed, of how many.
        """
        started = await self.call(
            method,
            f"accounts/{account}/storage/{path}",
            query=query,
            body=body,
            headers={"x-kloudless-async": "true"},
        )
        task = f"accounts/{account}/tasks/{started['id']}"
        pause = 0.05
        try:
            while True:
                found = await self.call("GET", task)
                if found["state"] == "SUCCESS":
                    return found["result"]
                if found["state"] == "FAILURE":
                    raise _refusal(found["error"])
                await told(found["progress"]["bytes"], found["progress"]["total"])
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_TIDY_WITHIN, shield=True):
                await self.call("DELETE", task)
            raise

    async def read(self, account: int, file: str, first: int, most: int, version: str | None = None) -> Piece:
        """At most `most` bytes of a file from `first` on, in one version of it if that is named."""
        path = f"accounts/{account}/storage/files/{file}/contents"
        headers = {"range": f"bytes={first}-{first + most - 1}"}
        if version is not None:
            headers["if-match"] = version
        with _told():
            async with self._http.stream("GET", path, headers=headers) as answer:
                span = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
                size = int(span[2]) if span and span[2] != "*" else None
                if answer.status_code == 416 and first == (size or 0) == 0:
                    return _piece(answer, b"", 0, 0, last=True)  # an empty file has no first byte
                if answer.status_code >= 300:
                    await answer.aread()
                    raise _failure(answer)
                skip = first if answer.status_code == 200 else 0  # a store that can't say its file's size
                data, ended = await _taken(answer.aiter_raw(), skip, most)
        if size is not None:
            ended = first + len(data) >= size
        return _piece(answer, data, first, size, last=ended)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Gateway]:
    """The API, while inside."""
    async with httpx2.AsyncClient(
        base_url=f"{settings.url}/v1/",
        headers={
            "authorization": settings.authorization,
            "accept-encoding": "identity",
            "user-agent": "isthmus-mcp",
        },
        timeout=httpx2.Timeout(_SILENCE, connect=_CONNECT_WITHIN),
    ) as http:
        yield Gateway(http, settings.accounts)


@contextmanager
def _told() -> Iterator[None]:
    """The only place where what HTTP raises becomes a message: without URLs, headers and addresses."""
    try:
        yield
    except (httpx2.ConnectTimeout, httpx2.ConnectError):
        raise Failed("the gateway can't be reached: is it running, and is --url right?") from None
    except httpx2.TimeoutException:
        raise Failed(f"the gateway was silent for {_SILENCE:g} seconds") from None
    except httpx2.HTTPError:
        raise Failed("the connection to the gateway broke") from None
    except ValueError:
        raise Failed("what answers at --url is no gateway: its answer is no JSON") from None


def _failure(answer: httpx2.Response) -> Failed:
    try:
        return _refusal(answer.json(), answer.headers.get("retry-after"))
    except (ValueError, KeyError, TypeError):
        return Failed(
            f"what answers at --url is no gateway: it said {answer.status_code}", answer.status_code
        )


def _refusal(error: Mapping[str, Any], retry_after: str | None = None) -> Failed:
    """An error of the API in one sentence, with its request's id for whoever has the gateway's logs."""
    again = f"; try again in {retry_after} s" if retry_after else ""
    said = f"{error['message']}{again} ({error['status_code']} {error['error_code']}, request {error['id']})"
    return Failed(said, error["status_code"])


async def _taken(chunks: AsyncIterator[bytes], skip: int, most: int) -> tuple[bytes, bool]:
    """At most `most` bytes behind the first `skip`, and whether there are no more."""
    data = bytearray()
    async for chunk in chunks:
        passed = min(skip, len(chunk))
        skip -= passed
        data += chunk[passed:]
        if len(data) > most:
            return bytes(data[:most]), False
    return bytes(data), True


def _piece(answer: httpx2.Response, data: bytes, first: int, size: int | None, *, last: bool) -> Piece:
    return Piece(
        data,
        first,
        size,
        last,
        version=answer.headers.get("etag"),
        mime_type=answer.headers.get("content-type", "application/octet-stream"),
    )
