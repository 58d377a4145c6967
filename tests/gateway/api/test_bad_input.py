"""Bad input is a 400-class answer that names the field: never a 500, never a hang."""

import json
import socket
from typing import Any

import pytest
import requests

from gateway.api.server import LARGEST_HEAD
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway


def refused(response: requests.Response, named: str, status: int = 400) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"status_code", "error_code", "message", "id"}
    assert body["status_code"] == status
    assert body["message"].startswith(named), body["message"]
    assert body["id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "size", ["0", "-1", "1000000", "1001", "1.5", "a", "", "1e3", "\u0661", " 1", "9" * 400]
)
def test_page_sizes(http: requests.Session, gateway: Gateway, mine: Connected, size: str) -> None:
    for url in (gateway.storage(mine, "folders/root/contents"), f"{gateway.url}/v1/accounts"):
        refused(http.get(url, params={"page_size": size}, headers=mine.key), "page_size:")


@pytest.mark.parametrize("page", ["0", "2", "-1", "x", "Li4", "MS4", "ñ", "=", "a" * 3000])
def test_pages(http: requests.Session, gateway: Gateway, mine: Connected, page: str) -> None:
    found = http.get(
        gateway.storage(mine, "folders/root/contents"), params={"page": page}, headers=mine.bearer
    )
    if page == "MS4":  # a well-formed place behind the last account
        assert found.json()["objects"] == []
    else:
        refused(found, "page:")


@pytest.mark.parametrize("value", ["yes", "2", "", "TRUEE"])
def test_booleans(http: requests.Session, gateway: Gateway, mine: Connected, value: str) -> None:
    url = gateway.storage(mine, f"folders?conflict_if_exists={value}")
    refused(
        http.post(url, json={"name": "a", "parent_id": "root"}, headers=mine.bearer), "conflict_if_exists:"
    )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body:"),
        (b"{", "body:"),
        (b"[]", "body:"),
        (b"1", "body:"),
        (b"null", "body:"),
        (b'"text"', "body:"),
        (b"\xff\xfe", "body:"),
        (b'{"name": "\\ud800", "parent_id": "root"}', "body:"),
        (b"[" * 100_000, "body:"),
        (b"{}", "parent_id:"),
        (b'{"name": "a"}', "parent_id:"),
        (b'{"parent_id": "root"}', "name:"),
        (b'{"name": 1, "parent_id": "root"}', "name:"),
        (b'{"name": null, "parent_id": "root"}', "name:"),
        (b'{"name": ["a"], "parent_id": "root"}', "name:"),
        (b'{"name": "a", "parent_id": 5}', "parent_id:"),
        (b'{"name": "a", "parent_id": {}}', "parent_id:"),
        (b'{"name": "a", "parent_id": ""}', "parent_id:"),
    ],
)
def test_json_of_the_wrong_type(
    http: requests.Session, gateway: Gateway, mine: Connected, body: bytes, named: str
) -> None:
    refused(http.post(gateway.storage(mine, "folders"), data=body, headers=mine.bearer), named)


def test_json_that_is_too_large(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    body = b'{"name": "' + b"a" * (1024 * 1024) + b'"}'
    refused(http.post(gateway.storage(mine, "folders"), data=body, headers=mine.bearer), "body:", 413)


NAMES = [
    "",
    ".",
    "..",
    "a/b",
    "/etc/passwd",
    "../x",
    "a\x00b",
    "a\r\nX-Injected: 1",
    "a\tb",
    "a\x7f",
    "a\x85b",
    "é" * 128,
    "a" * 256,
    7,
    True,
    ["a"],
]


@pytest.mark.parametrize("name", NAMES)
def test_names(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker, name: Any
) -> None:
    file = worker.put(mine.account_id, "there", b"")
    given = {"name": name, "parent_id": "root"}
    header = {**mine.bearer, "X-Kloudless-Metadata": json.dumps(given)}
    refused(http.post(gateway.storage(mine, "folders"), json=given, headers=mine.bearer), "name:")
    refused(http.post(gateway.storage(mine, "files"), data=b"1", headers=header), "name:")
    one = gateway.storage(mine, f"files/{file.id}")
    refused(http.patch(one, json={"name": name}, headers=mine.bearer), "name:")
    refused(http.post(f"{one}/copy", json=given, headers=mine.bearer), "name:")
    assert worker.names(mine.account_id) == ["there"]


@pytest.mark.parametrize(
    "name",
    [" ", "...", ".hidden", "a b", "100%", "a+b", "“q”'\"", "漢字", "a\\b", "é" * 127, "a" * 255, "😀"],
)
def test_names_that_are_fine(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker, name: str
) -> None:
    header = {**mine.bearer, "X-Kloudless-Metadata": json.dumps({"name": name, "parent_id": "root"})}
    made = http.post(gateway.storage(mine, "files"), data=b"1", headers=header)
    assert made.json()["name"] == name
    found = http.get(f"{made.json()['href']}/contents", headers=mine.bearer)
    assert found.content == b"1"


@pytest.mark.parametrize("header", ["{", "[]", "", "nonsense", '"a"', "\u00ff", '{"name": "a"', "1"])
def test_metadata_headers(http: requests.Session, gateway: Gateway, mine: Connected, header: str) -> None:
    headers: dict[str, str | bytes] = {**mine.bearer, "X-Kloudless-Metadata": header.encode("latin-1")}
    refused(http.post(gateway.storage(mine, "files"), data=b"1", headers=headers), "X-Kloudless-Metadata:")


def test_no_metadata_at_all(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    refused(
        http.post(gateway.storage(mine, "files"), data=b"1", headers=mine.bearer), "X-Kloudless-Metadata:"
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("PATCH", "storage/folders/root", {}, "name, parent_id:"),
        ("POST", "storage/files/x/copy", {}, "parent_id:"),
        ("POST", "storage/files/x/copy", {"parent_id": "root", "account": [1]}, "account:"),
        ("POST", "encode_raw_id", {"raw_id": 1}, "raw_id:"),
        ("POST", "encode_raw_id", {}, "raw_id:"),
        ("POST", "encode_raw_id", {"raw_id": "a", "type": "link"}, "type:"),
        ("POST", "encode_raw_id", {"raw_id": "a" * 10_000}, "raw_id:"),
        ("PATCH", "", {"enabled": "yes"}, "enabled:"),
        ("PATCH", "", {"active": None}, "active:"),
        ("PATCH", "", {"service": "sftp"}, "service:"),
        ("GET", "storage/search", None, "q:"),
        ("DELETE", "storage/folders/x?recursive=maybe", None, "recursive:"),
    ],
)
def test_other_fields(
    http: requests.Session, gateway: Gateway, mine: Connected, method: str, path: str, body: Any, named: str
) -> None:
    url = f"{gateway.url}/v1/accounts/{mine.account_id}/{path}"
    refused(http.request(method, url, json=body, headers=mine.key), named)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("storage/files/x/thumbnail", "thumbnails"),
        ("subscriptions/default", "subscriptions"),
        ("cal/calendars", "the Calendar API"),
        ("crm/contacts", "the CRM API"),
        ("team/users", "team: listing users and groups by the local connector"),
    ],
)
def test_what_is_not_built_says_so(
    http: requests.Session, gateway: Gateway, mine: Connected, path: str, named: str
) -> None:
    url = f"{gateway.url}/v1/accounts/{mine.account_id}/{path}"
    refused(http.get(url, headers=mine.bearer), named, 501)
    assert http.get(url).status_code == 401


def test_headers_that_ask_for_what_is_not_built(
    http: requests.Session, gateway: Gateway, mine: Connected
) -> None:
    url = gateway.storage(mine, "folders/root")
    refused(http.get(url, headers={**mine.bearer, "X-Kloudless-Async": "true"}), "X-Kloudless-Async", 501)
    refused(http.get(f"{url}?return_type=task", headers=mine.bearer), "X-Kloudless-Async", 501)
    refused(http.get(url, headers={**mine.bearer, "X-Kloudless-As-User": "5"}), "X-Kloudless-As-User", 403)


@pytest.mark.parametrize(
    "given",
    [
        "[]",
        "{",
        '{"X-A": 1}',
        '{"X-A": null}',
        '{"Host": "elsewhere"}',
        '{"authorization": "Basic x"}',
        '{"COOKIE": "a=b"}',
        '{"Connection": "close"}',
        '{"Transfer-Encoding": "chunked"}',
        '{"Content-Length": "5"}',
        '{"Proxy-Authorization": "x"}',
        '{"X-A": "one\\r\\nHost: two"}',
        '{"X A": "b"}',
        '{"": "b"}',
        '{"X-A": "%s"}' % ("b" * 9000),
    ],
)
def test_raw_headers_that_no_store_may_get(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker, given: str
) -> None:
    worker.calls.clear()
    url = gateway.storage(mine, "folders/root")
    headers = {**mine.bearer, "X-Kloudless-Raw-Headers": given}
    refused(http.get(url, headers=headers), "X-Kloudless-Raw-Headers", 400)
    assert worker.calls == []


def test_methods(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    found = http.put(gateway.storage(mine, "folders/root"), headers=mine.bearer)
    refused(found, "this takes", 405)
    assert found.headers["Allow"] == "DELETE, GET, HEAD, PATCH"


def test_a_trailing_slash_means_the_same(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    made = http.post(
        gateway.storage(mine, "folders/"), json={"name": "a", "parent_id": "root"}, headers=mine.bearer
    )
    assert (made.status_code, made.history) == (201, [])


def test_request_ids(http: requests.Session, gateway: Gateway) -> None:
    url = f"{gateway.url}/v1/accounts"
    assert http.get(url, headers={"X-Request-ID": "mine-1234"}).json()["id"] == "mine-1234"
    for bad in ("x", "a b c d e f g h", "a" * 65, "<script>"):
        assert http.get(url, headers={"X-Request-ID": bad}).json()["id"] != bad


def test_preflight_and_cors(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    origin = {"Origin": "https://app.example.com"}
    for path in ("v1/accounts", "v1/accounts/5/storage/files", "v1/nowhere"):
        allowed = http.options(
            f"{gateway.url}/{path}", headers={**origin, "Access-Control-Request-Method": "PUT"}
        )
        assert (allowed.status_code, allowed.content) == (204, b"")
        assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    for headers in (mine.bearer, {}):
        found = http.get(f"{gateway.url}/v1/accounts", headers={**origin, **headers})
        assert found.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in found.headers


def exchange(gateway: Gateway, sent: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        client.sendall(sent)
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            piece = client.recv(65536)
            assert piece, received
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /v1/accounts HTTP/1.1\r\nHost: x\r\nX: " + b"a" * LARGEST_HEAD + b"\r\n\r\n", 431),
        (b"GET /v1/accounts HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 40_000 + b"\r\n", 431),
        (b"GET /v1/accounts HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 600_000, 431),
        (b"GET /" + b"a" * LARGEST_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET /%ff%fe%00?%ff=%ff HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET //v1//accounts HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1/accounts HTTP/1.1\r\n\r\n", 401),
        (b"GET /v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", 401),
        (b"GET /v1/accounts HTTP/1.0\r\n\r\n", 401),
    ],
)
def test_heads_that_are_no_good(gateway: Gateway, sent: bytes, status: int) -> None:
    found, body = exchange(gateway, sent)
    assert found == status
    assert body["status_code"] == status
    assert body["id"]


def test_a_body_longer_than_declared_belongs_to_nobody(
    gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    metadata = json.dumps({"name": "a", "parent_id": "root"})
    head = (
        f"POST /v1/accounts/{mine.account_id}/storage/files HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {mine.token}\r\nX-Kloudless-Metadata: {metadata}\r\nContent-Length: 3\r\n\r\n"
    )
    status, _ = exchange(gateway, head.encode() + b"abc")
    assert status == 201
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        client.sendall(head.replace('"a"', '"b"').encode() + b"abcSMUGGLED")
        received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 ")
    root = worker.root(mine.account_id)
    assert root.children["b"].data == b"abc" if "b" in root.children else True
