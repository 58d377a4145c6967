"""Bytes out: ranges, conditions, heads, and what happens when an end breaks."""

import http.client
import socket
import urllib.parse

import pytest
import requests

from tests.gateway.api.fake_worker import PIECE, FakeWorker, Node
from tests.gateway.api.served import Connected, Gateway, wait_until

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def file(worker: FakeWorker, mine: Connected) -> Node:
    return worker.put(mine.account_id, 'Grüße "2026".txt', CONTENT)


@pytest.fixture
def url(gateway: Gateway, mine: Connected, file: Node) -> str:
    return gateway.storage(mine, f"files/{file.id}/contents")


def test_the_head_says_what_comes(http: requests.Session, mine: Connected, url: str, file: Node) -> None:
    for method in ("GET", "HEAD"):
        found = http.request(method, url, headers=mine.bearer)
        assert found.status_code == 200
        assert found.headers["Content-Type"] == "text/plain"
        assert found.headers["Content-Length"] == str(len(CONTENT))
        assert found.headers["Accept-Ranges"] == "bytes"
        assert found.headers["ETag"] == f'"{file.etag}"'
        assert found.headers["Last-Modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
        plain, exact = found.headers["Content-Disposition"].split("; ")[1:]
        assert plain == 'filename="Gr__e _2026_.txt"'
        assert urllib.parse.unquote(exact.removeprefix("filename*=UTF-8''")) == file.name
        assert found.content == (CONTENT if method == "GET" else b"")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=255999-", 255_999, 255_999),
        ("bytes=-10", 255_990, 255_999),
        ("bytes=-999999999", 0, 255_999),
        ("bytes=5-99999999999999999999999", 5, 255_999),
        ("bytes=0-", 0, 255_999),
    ],
)
def test_a_range_is_cut(
    http: requests.Session, mine: Connected, url: str, asked: str, first: int, last: int
) -> None:
    found = http.get(url, headers={**mine.bearer, "Range": asked})
    assert found.status_code == 206
    assert found.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert found.content == CONTENT[first : last + 1]


@pytest.mark.parametrize("asked", ["bytes=256000-", "bytes=-0", "bytes=99999999999999999999999-"])
def test_a_range_beyond_the_end_is_416(http: requests.Session, mine: Connected, url: str, asked: str) -> None:
    found = http.get(url, headers={**mine.bearer, "Range": asked})
    assert found.status_code == 416
    assert found.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert found.json()["error_code"] == "bad_range"


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=", "bytes=-"]
)
def test_a_range_that_says_nothing_is_ignored(
    http: requests.Session, mine: Connected, url: str, asked: str
) -> None:
    found = http.get(url, headers={**mine.bearer, "Range": asked})
    assert found.status_code == 200
    assert found.content == CONTENT


def test_if_range_sends_the_part_of_the_same_version_alone(
    http: requests.Session, mine: Connected, url: str, file: Node
) -> None:
    part = {**mine.bearer, "Range": "bytes=0-9"}
    assert http.get(url, headers={**part, "If-Range": f'"{file.etag}"'}).status_code == 206
    for other in ('"another"', f'W/"{file.etag}"', "Fri, 02 Jan 2026 03:04:05 GMT", "nonsense"):
        found = http.get(url, headers={**part, "If-Range": other})
        assert (found.status_code, len(found.content)) == (200, len(CONTENT))


def test_conditions_on_the_version(
    http: requests.Session, mine: Connected, url: str, file: Node, worker: FakeWorker
) -> None:
    for known in (f'"{file.etag}"', f'"x", W/"{file.etag}"', "*"):
        unchanged = http.get(url, headers={**mine.bearer, "If-None-Match": known})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["ETag"] == f'"{file.etag}"'
    assert http.get(url, headers={**mine.bearer, "If-None-Match": '"x"'}).status_code == 200
    assert http.get(url, headers={**mine.bearer, "If-Match": f'"x", "{file.etag}"'}).status_code == 200
    lost = http.get(url, headers={**mine.bearer, "If-Match": f'W/"{file.etag}"'})
    assert (lost.status_code, lost.json()["error_code"]) == (409, "conflict")
    bad = http.get(url, headers={**mine.bearer, "If-None-Match": "unquoted"})
    assert (bad.status_code, bad.json()["message"].split(":")[0]) == (400, "if-none-match")
    assert worker.open_readings == 0


def test_a_size_that_the_store_does_not_say(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker
) -> None:
    worker.hides_size = True
    found = http.get(url, headers={**mine.bearer, "Range": "bytes=0-9"})
    assert found.status_code == 200
    assert "Content-Length" not in found.headers
    assert found.content == CONTENT
    assert worker.open_readings == 0


def test_an_empty_file(http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker) -> None:
    empty = worker.put(mine.account_id, "empty", b"")
    url = gateway.storage(mine, f"files/{empty.id}/contents")
    found = http.get(url, headers=mine.bearer)
    assert (found.status_code, found.headers["Content-Length"], found.content) == (200, "0", b"")
    assert http.get(url, headers={**mine.bearer, "Range": "bytes=0-"}).status_code == 416


def test_names_and_types_that_no_header_holds(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    odd = worker.put(mine.account_id, "a\r\nSet-Cookie: x=1\t.bin", b"1")
    found = http.get(gateway.storage(mine, f"files/{odd.id}/contents"), headers=mine.bearer)
    assert found.status_code == 200
    assert "Set-Cookie" not in found.headers
    assert "a__Set-Cookie" in found.headers["Content-Disposition"]


def test_a_break_in_the_middle_does_not_look_whole(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker
) -> None:
    worker.breaks_after = 2 * PIECE
    with pytest.raises(requests.exceptions.RequestException):
        http.get(url, headers=mine.bearer)
    worker.hides_size, worker.breaks_after = True, 2 * PIECE
    with pytest.raises(requests.exceptions.RequestException):
        http.get(url, headers=mine.bearer)
    wait_until(lambda: worker.open_readings == 0)


def test_a_client_that_leaves_ends_the_reading(
    gateway: Gateway, mine: Connected, url: str, worker: FakeWorker
) -> None:
    worker.endless = True
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("GET", urllib.parse.urlsplit(url).path, headers=mine.bearer)
    response = connection.getresponse()
    assert len(response.read(1_000_000)) == 1_000_000
    assert worker.open_readings == 1
    response.close()
    connection.close()
    wait_until(lambda: worker.open_readings == 0, within=1.0)


def test_a_client_that_takes_nothing_is_given_up(
    gateway: Gateway, mine: Connected, url: str, worker: FakeWorker
) -> None:
    worker.endless = True
    path = urllib.parse.urlsplit(url).path
    with socket.create_connection(("127.0.0.1", gateway.port)) as stalled:
        stalled.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mine.token}\r\n\r\n".encode()
        )
        wait_until(lambda: worker.open_readings == 1)
        wait_until(lambda: worker.open_readings == 0, within=gateway.settings.idle_timeout + 4)
