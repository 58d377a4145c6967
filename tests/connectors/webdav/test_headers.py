"""Headers that a caller adds."""

import asyncio

import pytest

from connectors.conformance.kit import put, whole
from connectors.interface import (
    InvalidName,
)
from connectors.webdav import WebdavConnector
from tests.connectors.webdav.stores import listing, resource, scripted
from tests.servers.apache import Apache


async def test_every_request_has_the_callers_headers(
    basic_server: Apache, connector: WebdavConnector
) -> None:
    await connector.with_headers({"X-Trace": "begin"}).stat("")
    traced = connector.with_headers({"X-Trace": "abc", "Authorization": "Basic bm8=", "Host": "elsewhere"})
    await put(traced, "", "traced", b"one")
    await put(traced, "", "traced", b"two", replace=True)
    await traced.list("", None, 10)
    assert await whole(traced, "traced") == b"two"
    await traced.delete("traced")
    await connector.with_headers({"X-Trace": "end"}).stat("")
    lines = await _logged_between(basic_server, "begin", "end")
    assert {"PUT", "MOVE", "PROPFIND", "GET", "DELETE"} <= {
        method for method, _, trace in lines if trace == "abc"
    }
    assert {trace for _, _, trace in lines} == {"abc"}


async def _logged_between(server: Apache, begin: str, end: str) -> list[list[str]]:
    """Method, path and trace of each request; Apache writes a line after its answer is out."""
    async with asyncio.timeout(10):
        while True:
            lines = [line.split() for line in server.log.read_text().splitlines()]
            traces = [trace for _, _, trace in lines]
            if end in traces:
                return [one for one in lines[traces.index(begin) : traces.index(end)] if one[2] != begin]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nY: b"}, {"X\r\nY": "b"}, {"X Y": "b"}, {"": "b"}, {"X": "\0"}, {"X": "世"}, {"X:": "b"}],
)
async def test_what_is_no_header_is_refused(connector: WebdavConnector, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidName, match="header"):
        connector.with_headers(headers)


async def test_framing_and_ranges_stay_ours() -> None:
    """What the request looks like on the wire."""
    seen: list[bytes] = []
    answers = [
        listing(resource("/dav/f", "<D:getcontentlength>10</D:getcontentlength>")),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    ]
    async with scripted(*answers, seen=seen) as other:
        assert isinstance(other, WebdavConnector)
        theirs = {
            "Content-Length": "99",
            "Transfer-Encoding": "chunked",
            "Connection": "close",
            "Expect": "100-continue",
            "Range": "bytes=5-",
            "Accept-Encoding": "gzip",
            "Depth": "infinity",
            "Host": "elsewhere",
            "Authorization": "Basic eDp5",
            "X-Kept": " yes ",
        }
        assert await whole(other.with_headers(theirs), "f") == b"0123456789"
    find, get = (head.lower() for head in seen)
    for head in (find, get):
        assert b"x-kept: yes\r\n" in head
        assert head.count(b"host:") == 1
        for theirs_alone in (b"elsewhere", b"authorization", b"chunked", b"expect", b"bytes=5-", b"gzip"):
            assert theirs_alone not in head
        assert b"content-length: 99\r" not in head
    assert b"depth: 0\r\n" in find
    assert b"infinity" not in find
