"""Requests in the stores' own APIs through a whole gateway, to the real servers."""

import hashlib
import json
import re
import secrets
import socket
import threading
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from zlib import crc32

import pytest
import requests

from gateway.worker.desk import Desk
from store.engine import Database
from store.queries import audit
from store.tables import Audit
from tests.gateway.api.served import Connected, wait_until
from tests.gateway.api.whole import Whole, whole_gateway
from tests.servers import azurite_blob, seaweedfs
from tests.servers.apache import PASSWORD, USER, Apache, apache
from tests.servers.azurite_blob import Azurite
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS

pytestmark = pytest.mark.server

BUCKET, OTHER_BUCKET, PREFIX = "files", "others", "team"


# a server that says all that it should not
_TELLTALE = """
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
RedirectMatch 302 ^/mine/gone$ http://elsewhere.example/
ErrorDocument 404 "There is nothing here, %{HTTP:Authorization}."
Header always set X-Echo "expr=%{HTTP:Authorization}"
Header always set Set-Cookie "session=of-the-account"
Header always set Strict-Transport-Security "max-age=31536000"
Header always set Access-Control-Allow-Origin "https://elsewhere.example"
TraceEnable On
"""


@dataclass(frozen=True)
class Mine:
    """An account behind a served gateway, and a session to use it by."""

    whole: Whole
    connected: Connected
    http: requests.Session

    def send(self, method: str, uri: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer to a raw request; headers are given as `if_match`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"X-Kloudless-Raw-Method": method, "X-Kloudless-Raw-URI": uri}
        return self.http.post(
            f"{self.whole.url}/v1/accounts/{self.connected.account_id}/raw",
            data=body,
            headers={**self.connected.bearer, **told, **fields},
            timeout=30,
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole_gateway(tmp_path_factory.mktemp("whole"), idle_timeout=10.0) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    with apache(tmp_path_factory.mktemp("apache"), extra=_TELLTALE) as running:
        for name in ("mine", "theirs"):
            (running.data / name).mkdir(mode=0o777)
            (running.data / name).chmod(0o777)
        (running.data / "theirs/secret.txt").write_text("not yours")
        (running.data / "mine/note.txt").write_text("a note")
        yield running


@pytest.fixture(scope="module")
def digest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """A nonce of one second: every pause makes it stale."""
    extra = "<Location />\nAuthDigestNonceLifetime 1\n</Location>"
    with apache(tmp_path_factory.mktemp("digest"), auth="Digest", extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        client = seaweedfs.other_client(running)
        for bucket in (BUCKET, OTHER_BUCKET):
            seaweedfs.make_bucket(running, bucket)
            client.put_object(Bucket=bucket, Key="outside.txt", Body=b"not yours")
        client.close()
        yield running


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite_blob.azurite(tmp_path_factory.mktemp("azurite")) as running:
        assert azurite_blob.request(running, "PUT", "others?restype=container") == 201
        yield running


@pytest.fixture(scope="module")
def dav(whole: Whole, server: Apache, http: requests.Session) -> Mine:
    settings = {"url": f"{server.url}mine/", "username": USER, "password": PASSWORD}
    return Mine(whole, whole.connect_to("webdav", settings), http)


@pytest.fixture(scope="module")
def digest(whole: Whole, digest_server: Apache, http: requests.Session) -> Mine:
    settings = {"url": digest_server.url, "username": USER, "password": PASSWORD}
    return Mine(whole, whole.connect_to("webdav", settings), http)


def s3_settings(weed: SeaweedFS, **more: str) -> dict[str, str]:
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    return {"endpoint": weed.endpoint, "bucket": BUCKET, **keys, **more}


@pytest.fixture(scope="module")
def s3(whole: Whole, weed: SeaweedFS, http: requests.Session) -> Mine:
    return Mine(whole, whole.connect_to("s3_compatible", s3_settings(weed)), http)


@pytest.fixture(scope="module")
def s3_folder(whole: Whole, weed: SeaweedFS, http: requests.Session) -> Mine:
    return Mine(whole, whole.connect_to("s3_compatible", s3_settings(weed, prefix=PREFIX)), http)


@pytest.fixture(scope="module")
def azure(whole: Whole, blobs: Azurite, http: requests.Session) -> Mine:
    settings = {
        "url": blobs.url,
        "account_name": azurite_blob.ACCOUNT,
        "account_key": azurite_blob.KEY,
        "container": azurite_blob.CONTAINER,
    }
    return Mine(whole, whole.connect_to("azure", settings), http)


@pytest.fixture(scope="module")
def azure_by_token(whole: Whole, blobs: Azurite, http: requests.Session) -> Mine:
    settings = {
        "url": blobs.url,
        "account_name": azurite_blob.ACCOUNT,
        "sas_token": azurite_blob.account_sas(),
        "container": azurite_blob.CONTAINER,
        "prefix": PREFIX,
    }
    return Mine(whole, whole.connect_to("azure", settings), http)


# what works


def test_webdav(dav: Mine, server: Apache) -> None:
    content = secrets.token_bytes(200_000)
    assert dav.send("PUT", "new.bin", content).status_code == 201
    assert (server.data / "mine/new.bin").read_bytes() == content
    part = dav.send("GET", "/mine/new.bin", range="bytes=10-19")
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(content)}"
    listed = dav.send("PROPFIND", f"{server.url}mine/", depth="1")
    assert listed.status_code == 207
    assert "/mine/new.bin" in listed.text
    assert dav.send("MOVE", "new.bin", destination=f"{server.url}mine/moved.bin").status_code == 201
    head = dav.send("HEAD", "moved.bin")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["X-Kloudless-Raw-Content-Length"] == str(len(content))
    assert dav.send("DELETE", "moved.bin").status_code == 204
    assert dav.send("GET", "moved.bin").status_code == 404


def test_digest_goes_on_when_its_nonce_is_stale(digest: Mine, digest_server: Apache) -> None:
    small, large = b"small", secrets.token_bytes(300_000)
    digest_server.data.chmod(0o777)
    for content in (small, large, small, large):
        name = f"{len(content)}.bin"
        assert digest.send("PUT", name, content).status_code in (201, 204)
        threading.Event().wait(2.1)  # the nonce's one second has to pass, and its rounding
        assert digest.send("GET", name).content == content


def test_s3(s3: Mine) -> None:
    content = secrets.token_bytes(200_000)
    assert s3.send("PUT", "a%20folder/new+file.bin", content, x_amz_meta_colour="blue").status_code == 200
    found = s3.send("GET", f"/{BUCKET}/a%20folder/new%2Bfile.bin")
    assert found.content == content
    assert found.headers["x-amz-meta-colour"] == "blue"
    listed = s3.send("GET", "?list-type=2&prefix=a%20folder/")
    assert [one.text for one in ElementTree.fromstring(listed.text).iter() if one.tag.endswith("}Key")] == [
        "a folder/new+file.bin"
    ]
    copied = s3.send("PUT", "copy", x_amz_copy_source=f"/{BUCKET}/a%20folder/new%2Bfile.bin")
    assert copied.status_code == 200
    assert s3.send("DELETE", "copy").status_code == 204


def test_s3_in_parts(s3: Mine) -> None:
    begun = s3.send("POST", "parts.bin?uploads")
    upload = re.search("<UploadId>(.*)</UploadId>", begun.text)
    assert upload is not None
    parts = [secrets.token_bytes(5 * 1024 * 1024), b"the rest"]
    tags = [
        s3.send("PUT", f"parts.bin?partNumber={number}&uploadId={upload[1]}", part).headers["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    one = "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>"
    told = "".join(one.format(number, tag) for number, tag in enumerate(tags, 1))
    whole = f"<CompleteMultipartUpload>{told}</CompleteMultipartUpload>"
    assert s3.send("POST", f"parts.bin?uploadId={upload[1]}", whole).status_code == 200
    assert s3.send("GET", "parts.bin").content == b"".join(parts)


def test_s3_takes_chunks_with_a_checksum_behind_them(s3: Mine) -> None:
    """As current SDKs upload over https."""
    content = b"hello"
    checksum = b64encode(crc32(content).to_bytes(4)).decode()
    framed = f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()
    written = s3.send(
        "PUT",
        "chunked.txt",
        framed,
        content_encoding="aws-chunked",
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_decoded_content_length="5",
        x_amz_trailer="x-amz-checksum-crc32",
    )
    assert written.status_code == 200, written.text
    assert s3.send("GET", "chunked.txt").content == content


def test_azure_by_key(azure: Mine) -> None:
    content = secrets.token_bytes(200_000)
    assert azure.send("PUT", "new%20blob", content, x_ms_blob_type="BlockBlob").status_code == 201
    assert azure.send("GET", f"/{azurite_blob.ACCOUNT}/files/new%20blob").content == content
    listed = azure.send("GET", "?restype=container&comp=list")
    assert "<Name>new blob</Name>" in listed.text


def test_azure_by_token_below_a_prefix(azure_by_token: Mine, blobs: Azurite) -> None:
    mine = f"{PREFIX}/blob"
    assert azure_by_token.send("PUT", mine, b"bytes", x_ms_blob_type="BlockBlob").status_code == 201
    source = f"{blobs.url}/files/{mine}"
    copied = azure_by_token.send("PUT", f"{PREFIX}/copy", x_ms_copy_source=source)
    assert copied.status_code == 202
    assert azure_by_token.send("GET", f"{PREFIX}/copy").content == b"bytes"
    listed = azure_by_token.send("GET", f"?restype=container&comp=list&prefix={PREFIX}/")
    assert listed.text.count("<Name>") == 2


def test_the_query_of_the_call_is_the_requests(s3: Mine) -> None:
    found = s3.http.post(
        f"{s3.whole.url}/v1/accounts/{s3.connected.account_id}/raw?list-type=2&max-keys=1",
        headers={**s3.connected.key, "X-Kloudless-Raw-Method": "GET", "X-Kloudless-Raw-URI": "?"},
        timeout=30,
    )
    assert found.status_code == 200
    assert "<MaxKeys>1</MaxKeys>" in found.text


def test_each_use_is_in_the_audit_log(dav: Mine) -> None:
    assert dav.send("GET", "note.txt?token=in-the-query").status_code == 200

    async def flush(desk: Desk) -> None:
        await desk.uses.flush()

    async def last(database: Database) -> Audit:
        async with database.session() as session:
            assert await audit.verify(session)
            found = await session.get(Audit, await audit.verify(session))
        assert found is not None
        return found

    dav.whole.inside(flush)
    row = dav.whole.work(last)
    assert (row.action, row.subject) == ("credential.use", str(dav.connected.account_id))
    assert re.fullmatch("access token [0-9]+", row.actor)
    told = json.loads(row.detail)
    assert (told["method"], told["path"]) == ("GET", "/mine/note.txt")
    assert told["host"].startswith("localhost:")


def test_a_redirect_is_passed_on(dav: Mine) -> None:
    found = dav.http.post(
        f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
        headers={
            **dav.connected.bearer,
            "X-Kloudless-Raw-Method": "GET",
            "X-Kloudless-Raw-URI": "gone",
        },
        allow_redirects=False,
        timeout=30,
    )
    assert found.status_code == 302
    assert found.headers["Location"] == "http://elsewhere.example/"


def test_what_an_answer_echoes_is_masked(dav: Mine) -> None:
    basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for uri in ("note.txt", "nothing"):
        found = dav.send("GET", uri, accept_encoding="gzip", cookie="a=of-the-caller")
        shown = str(found.headers) + found.text
        assert basic not in shown
        assert "*" * len(basic) in found.headers["X-Echo"]
        assert "Set-Cookie" not in found.headers
        assert "Strict-Transport-Security" not in found.headers
        assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert "There is nothing here, ****" in found.text


def test_a_wrong_password_is_a_403_and_no_401(
    whole: Whole, server: Apache, digest_server: Apache, http: requests.Session
) -> None:
    """A 401 would read as ours: the caller's own token is fine."""
    for one in (server, digest_server):
        settings = {"url": one.url, "username": USER, "password": "not this one"}
        refused = Mine(whole, whole.connect_to("webdav", settings), http).send("GET", "x")
        assert (refused.status_code, refused.json()["error_code"]) == (403, "permission_denied")


def test_the_folder_itself_is_the_accounts(dav: Mine) -> None:
    for uri in ("?", "/mine/", "/mine"):
        found = dav.send("PROPFIND", uri, depth="0")
        assert found.status_code in (207, 301)


def test_a_caller_that_leaves_releases_the_store(dav: Mine, server: Apache) -> None:
    with (server.data / "mine/sparse.bin").open("wb") as sparse:
        sparse.truncate(1024**3)
    answer = dav.http.post(
        f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
        headers={
            **dav.connected.bearer,
            "X-Kloudless-Raw-Method": "GET",
            "X-Kloudless-Raw-URI": "sparse.bin",
        },
        stream=True,
        timeout=30,
    )
    assert next(answer.iter_content(1000))

    async def busy(desk: Desk) -> int:
        opened = desk.accounts._open[dav.connected.account_id]
        return sum(len(client._busy) for client in opened.senders._clients.values())

    assert dav.whole.inside(busy) == 1
    answer.close()
    wait_until(lambda: dav.whole.inside(busy) == 0)
    (server.data / "mine/sparse.bin").unlink()


def test_a_store_without_an_api_of_its_own_is_named(whole: Whole, http: requests.Session) -> None:
    refused = Mine(whole, whole.connect(), http).send("GET", "x")
    assert refused.status_code == 501
    assert "local connector" in refused.json()["message"]


def test_large_content_streams_both_ways_at_constant_memory(dav: Mine, server: Apache) -> None:
    size, piece = 256 * 1024 * 1024, secrets.token_bytes(1024 * 1024)
    digest = hashlib.sha256(piece * 256).hexdigest()

    def pieces() -> Iterator[bytes]:
        for _ in range(256):
            yield piece

    tracemalloc.start()
    try:
        assert dav.send("PUT", "large.bin", pieces()).status_code == 201
        assert (server.data / "mine/large.bin").stat().st_size == size
        got = hashlib.sha256()
        with dav.http.post(
            f"{dav.whole.url}/v1/accounts/{dav.connected.account_id}/raw",
            headers={
                **dav.connected.bearer,
                "X-Kloudless-Raw-Method": "GET",
                "X-Kloudless-Raw-URI": "large.bin",
            },
            stream=True,
            timeout=30,
        ) as answer:
            for part in answer.iter_content(256 * 1024):
                got.update(part)
        assert got.hexdigest() == digest
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        (server.data / "mine/large.bin").unlink(missing_ok=True)
    assert peak < 16 * 1024 * 1024


# what is refused


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
