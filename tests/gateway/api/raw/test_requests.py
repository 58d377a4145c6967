"""Requests in the stores' own APIs through a whole gateway, to the real servers."""

import json
import re
import secrets
import threading
from base64 import b64encode
from xml.etree import ElementTree
from zlib import crc32

import pytest

from gateway.worker.desk import Desk
from store.engine import Database
from store.queries import audit
from store.tables import Audit
from tests.gateway.api.raw.accounts import BUCKET, PREFIX, Mine
from tests.servers import azurite_blob
from tests.servers.apache import Apache
from tests.servers.azurite_blob import Azurite

pytestmark = pytest.mark.server


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
