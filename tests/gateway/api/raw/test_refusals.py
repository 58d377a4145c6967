"""No raw request leads out of what is the account's."""

import json
import socket

import pytest

from tests.gateway.api.raw.accounts import BUCKET, OTHER_BUCKET, PREFIX, Mine
from tests.servers import azurite_blob
from tests.servers.apache import Apache
from tests.servers.azurite_blob import Azurite

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    "uri",
    [
        "http://elsewhere.example/mine/note.txt",
        "http://localhost:1/mine/note.txt",
        "https://localhost:PORT/mine/note.txt",
        "ftp://localhost:PORT/mine/note.txt",
        "file:///etc/passwd",
        "//elsewhere.example/mine/note.txt",
        "///mine/note.txt",
        "//mine/note.txt",
        "http://user:password@localhost:PORT/mine/note.txt",
        "http://localhost:PORT@elsewhere.example/mine/note.txt",
        "http://localhost.:PORT/mine/note.txt",
        "http://127.0.0.1:PORT/mine/note.txt",
        "http://localhost:PORT/theirs/secret.txt",
        "http://localhost:PORT",
        "/theirs/secret.txt",
        "../theirs/secret.txt",
        "%2e%2e/theirs/secret.txt",
        "%2E%2e%2ftheirs/secret.txt",
        "x/..%2f..%2ftheirs/secret.txt",
        "..%5ctheirs/secret.txt",
        "%252e%252e/theirs/secret.txt",
        "..;/theirs/secret.txt",
        "/mine/../theirs/secret.txt",
        "/mine/./note.txt",
        "/minex/note.txt",
        "/mine%2ftheirs",
    ],
)
def test_no_uri_leads_out(dav: Mine, server: Apache, uri: str) -> None:
    refused = dav.send("GET", uri.replace("PORT", str(server.port)))
    assert refused.status_code == 403, refused.text
    assert "not yours" not in refused.text


@pytest.mark.parametrize(
    "uri", ["note.txt#fragment", "sp ace", 'quo"te', "back\\slash", "é", "http://[::1/", "a<b>"]
)
def test_what_is_no_uri_is_a_400(dav: Mine, uri: str) -> None:
    refused = dav.send("GET", uri)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error_code"] == "invalid_parameter"


@pytest.mark.parametrize("method", ["GE T", "G\tT", "", "x" * 33, "GET HTTP/1.1"])
def test_what_is_no_method_is_a_400(dav: Mine, method: str) -> None:
    assert dav.send(method, "note.txt").status_code == 400


def test_methods_that_echo_are_refused(dav: Mine) -> None:
    for method in ("TRACE", "trace", "TRACK", "CONNECT", "SEARCH", "BIND"):
        assert dav.send(method, "note.txt").status_code == 403


def test_a_line_break_makes_no_second_header(dav: Mine) -> None:
    """Sent by hand: no client of HTTP sends one."""
    for name, value in (
        ("X-Kloudless-Raw-URI", "note.txt\r\nX-Second: 1"),
        ("X-Kloudless-Raw-URI", "note.txt HTTP/1.1\r\n\r\nDELETE /mine/note.txt"),
        ("X-Kloudless-Raw-Method", "GET /mine/note.txt HTTP/1.1\nX:"),
        ("X-Trace", "a\nb: c"),
    ):
        fields = {
            "Host": "gateway",
            **dav.connected.bearer,
            "X-Kloudless-Raw-Method": "GET",
            "X-Kloudless-Raw-URI": "note.txt",
            "Connection": "close",
            name: value.replace("\r\n", "\r").replace("\n", "\r"),
        }
        head = "".join(f"{key}: {text}\r\n" for key, text in fields.items())
        with socket.create_connection(("127.0.0.1", dav.whole.port), timeout=20) as sock:
            sock.sendall(f"POST /v1/accounts/{dav.connected.account_id}/raw HTTP/1.1\r\n{head}\r\n".encode())
            answer = sock.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
    raw = dav.send("GET", "note.txt", X_Kloudless_Raw_Headers=json.dumps({"X-A": "b\r\nc: d"}))
    assert raw.status_code == 400
    assert dav.send("GET", "note.txt%0d%0aX-Second:%201").status_code == 403


def test_destinations_stay_within(dav: Mine, server: Apache) -> None:
    for destination in (
        f"{server.url}theirs/note.txt",
        "/theirs/note.txt",
        f"{server.url}mine/../theirs/note.txt",
        f"{server.url}mine/%2e%2e/theirs/note.txt",
        "http://elsewhere.example/mine/note.txt",
        f"http://x@localhost:{server.port}/mine/note2.txt",
    ):
        assert dav.send("COPY", "note.txt", destination=destination).status_code == 403
    assert sorted(path.name for path in (server.data / "theirs").iterdir()) == ["secret.txt"]


def test_oversized_heads_are_refused(dav: Mine) -> None:
    assert dav.send("GET", "x" * 70_000).status_code == 431
    assert dav.send("GET", "note.txt", x_long="y" * 66_000).status_code == 431
    longest = dav.send("GET", "note.txt", x_long="y" * 6_000)
    assert (longest.status_code, longest.text) == (200, "a note")


@pytest.mark.parametrize(
    "uri",
    [
        "/",
        f"/{OTHER_BUCKET}/outside.txt",
        f"/{OTHER_BUCKET}?list-type=2",
        f"/{BUCKET}/../{OTHER_BUCKET}/outside.txt",
        f"/{BUCKET}/%2e%2e/{OTHER_BUCKET}/outside.txt",
        f"/{BUCKET}/..%2f{OTHER_BUCKET}/outside.txt",
        f"//{OTHER_BUCKET}/outside.txt",
        f"/{BUCKET}%2f..%2f{OTHER_BUCKET}/outside.txt",
    ],
)
def test_another_bucket_is_refused(s3: Mine, uri: str) -> None:
    assert s3.send("GET", uri).status_code == 403


def test_no_copy_comes_from_another_bucket(s3: Mine) -> None:
    for source in (f"/{OTHER_BUCKET}/outside.txt", f"{BUCKET}/../{OTHER_BUCKET}/outside.txt"):
        assert s3.send("PUT", "stolen", x_amz_copy_source=source).status_code == 403
    assert s3.send("PUT", f"stolen?x-amz-copy-source=/{OTHER_BUCKET}/outside.txt").status_code == 403


def test_a_folder_of_a_bucket_is_all_there_is(s3_folder: Mine) -> None:
    assert s3_folder.send("PUT", f"{PREFIX}/inside.txt", b"inside").status_code == 200
    listed = s3_folder.send("GET", f"?list-type=2&prefix={PREFIX}/")
    assert f"{PREFIX}/inside.txt" in listed.text
    for method, uri in (
        ("GET", "outside.txt"),
        ("GET", f"{PREFIX}x/inside.txt"),
        ("GET", "?list-type=2"),
        ("GET", "?list-type=2&prefix="),
        ("GET", f"?list-type=2&prefix={PREFIX}/&prefix="),
        ("GET", "?policy"),
        ("POST", "?delete"),
        ("DELETE", "?"),
    ):
        assert s3_folder.send(method, uri, b"<x/>" if method == "POST" else None).status_code == 403, uri


def test_chunks_signed_one_by_one_are_refused_as_they_are(s3: Mine) -> None:
    refused = s3.send(
        "PUT", "x", b"5;chunk-signature=0", x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    )
    assert refused.status_code == 501
    assert "UNSIGNED-PAYLOAD" in refused.json()["message"]


def test_another_container_is_refused(azure: Mine, blobs: Azurite) -> None:
    for uri in (
        f"/{azurite_blob.ACCOUNT}/others?restype=container&comp=list",
        f"/{azurite_blob.ACCOUNT}?comp=list",
        f"/{azurite_blob.ACCOUNT}/files",
        f"/{azurite_blob.ACCOUNT}/files/%2e%2e/others/x",
    ):
        assert azure.send("GET", uri).status_code == 403, uri
    source = f"{blobs.url}/others/x"
    assert azure.send("PUT", "stolen", x_ms_copy_source=source).status_code == 403


def test_a_folder_of_a_container_is_all_there_is(azure_by_token: Mine) -> None:
    for uri in ("outside", "?restype=container&comp=list", "?restype=container&comp=acl"):
        assert azure_by_token.send("GET", uri).status_code == 403, uri


def test_a_presigned_request_is_signed_anew(s3: Mine) -> None:
    assert s3.send("PUT", "presigned.txt", b"bytes").status_code == 200
    signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=PLACEHOLDER%2Fx&X-Amz-Signature=00"
    assert s3.send("GET", f"presigned.txt?{signed}").content == b"bytes"
    assert s3.send("GET", "presigned.txt", x_amz_date="20200101T000000Z").content == b"bytes"
