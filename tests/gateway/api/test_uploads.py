"""Bytes in: as a body, as a form, of unknown length; and what breaks off leaves no name behind."""

import json
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway, wait_until


@pytest.fixture
def url(gateway: Gateway, mine: Connected, worker: FakeWorker) -> str:
    return gateway.storage(mine, "files")


def metadata(mine: Connected, name: object = "a.txt", parent_id: object = "root") -> dict[str, str]:
    return {**mine.bearer, "X-Kloudless-Metadata": json.dumps({"name": name, "parent_id": parent_id})}


def test_a_taken_name(http: requests.Session, mine: Connected, url: str) -> None:
    assert http.post(url, data=b"1", headers=metadata(mine)).status_code == 201
    renamed = http.post(url, data=b"2", headers=metadata(mine))
    assert (renamed.status_code, renamed.json()["name"]) == (201, "a (1).txt")
    replaced = http.post(f"{url}?overwrite=true", data=b"333", headers=metadata(mine))
    assert (replaced.json()["name"], replaced.json()["size"]) == ("a.txt", 3)
    refused = http.post(f"{url}?conflict_if_exists=true", data=b"4", headers=metadata(mine))
    assert (refused.status_code, refused.json()["error_code"]) == (409, "item_exists")


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_sizes(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker, size: int, chunked: bool
) -> None:
    content = bytes(i % 251 for i in range(size))

    def pieces() -> Iterator[bytes]:
        for at in range(0, size, 50_000):
            yield content[at : at + 50_000]

    made = http.post(url, data=pieces() if chunked else content, headers=metadata(mine))
    assert made.status_code == 201
    assert made.json()["size"] == size
    assert worker.root(mine.account_id).children["a.txt"].data == content


def form(*parts: tuple[str, bytes], end: bytes = b"\r\n--b0undary--\r\n") -> bytes:
    body = b""
    for name, content in parts:
        head = f'--b0undary\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n'
        body += (b"\r\n" if body else b"") + head.encode() + content
    return body + end


FORM = {"Content-Type": "multipart/form-data; boundary=b0undary"}
METADATA = ("metadata", b'{"name": "f.bin", "parent_id": "root"}')


def test_a_form_is_streamed_whatever_it_holds(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker
) -> None:
    tricky = b"--b0undar\r\n--b0undar--\r\n\r\n--" * 20_000 + b"\r\n--b0"
    body = form(("other", b"is passed over"), METADATA, ("file", tricky), ("after", b"too"))
    for step in (1_000_003, 65_536):
        pieces = (body[at : at + step] for at in range(0, len(body), step))
        made = http.post(url, data=pieces, headers={**mine.bearer, **FORM})
        assert made.status_code == 201, made.text
    assert worker.root(mine.account_id).children["f.bin"].data == tricky
    assert worker.root(mine.account_id).children["f (1).bin"].data == tricky


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (form(("file", b"1"), METADATA), "metadata"),
        (form(METADATA), "file"),
        (form(METADATA, ("file", b"1"), ("file", b"2")), "file"),
        (form(("metadata", b"[]"), ("file", b"1")), "metadata"),
        (form(("metadata", b"{"), ("file", b"1")), "metadata"),
        (form(("metadata", b"x" * 70_000), ("file", b"1")), "metadata"),
        (form(METADATA, ("file", b"1"), end=b""), "body"),
        (b"this is no form", "body"),
        (b"", "file"),
    ],
)
def test_a_bad_form_is_named(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker, body: bytes, named: str
) -> None:
    refused = http.post(url, data=body, headers={**mine.bearer, **FORM})
    assert refused.status_code == 400, refused.text
    assert refused.json()["message"].startswith(f"{named}:")
    assert worker.names(mine.account_id) == []


def test_a_form_without_a_boundary(http: requests.Session, mine: Connected, url: str) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=" + "b" * 300):
        refused = http.post(url, data=b"x", headers={**mine.bearer, "Content-Type": kind})
        assert refused.status_code == 400
        assert refused.json()["message"].startswith("Content-Type:")


@pytest.mark.parametrize("field", ["url", "name", "parent_id"])
def test_an_upload_from_a_url_names_what_is_missing(
    http: requests.Session, mine: Connected, url: str, field: str
) -> None:
    asked: dict[str, Any] = {"url": "https://example.com/", "name": "a", "parent_id": "root"}
    for wrong in (None, 5, ["x"]):
        refused = http.post(url, json={**asked, field: wrong}, headers=mine.bearer)
        assert refused.status_code == 400
        assert refused.json()["message"].startswith(f"{field}:")


def test_replacing_needs_the_version_that_was_asked_for(
    http: requests.Session, mine: Connected, url: str, worker: FakeWorker
) -> None:
    file = worker.put(mine.account_id, "a.txt", b"old")
    tag = f'"{file.etag}"'
    one = f"{url}/{file.id}"
    assert http.put(one, data=b"x", headers={**mine.bearer, "If-Match": '"other"'}).status_code == 409
    assert http.put(one, data=b"x", headers={**mine.bearer, "If-Match": f"W/{tag}"}).status_code == 409
    assert file.data == b"old"
    assert (
        http.put(one, data=b"new", headers={**mine.bearer, "If-Match": f'"other", {tag}'}).status_code == 200
    )
    assert http.put(one, data=b"newer", headers={**mine.bearer, "If-Match": "*"}).status_code == 200
    assert file.data == b"newer"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nffff\r\n"]
)
def test_a_client_that_vanishes_leaves_no_name(
    gateway: Gateway, mine: Connected, url: str, worker: FakeWorker, framing: str
) -> None:
    worker.cancelled.clear()
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(_head(mine, url) + framing.encode() + b"only a part")
        wait_until(lambda: "write" in worker.calls)
    wait_until(lambda: worker.cancelled == ["a.txt"], within=1.0)
    assert worker.names(mine.account_id) == []


def test_a_client_that_stands_still_is_told(
    gateway: Gateway, mine: Connected, url: str, worker: FakeWorker
) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.settimeout(gateway.settings.idle_timeout + 5)
        client.sendall(_head(mine, url) + b"Content-Length: 1000000\r\n\r\nonly a part")
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert worker.names(mine.account_id) == []


def _head(mine: Connected, url: str) -> bytes:
    path = urllib.parse.urlsplit(url).path
    fields = "".join(f"{name}: {value}\r\n" for name, value in metadata(mine).items())
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{fields}".encode()
