"""S3's programs that sign with their token's keys, through the proxy to a SeaweedFS, plain and over TLS."""

import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.gateway.proxy.chunk_signer import ChunkSigner, encoded_length
from tests.gateway.proxy.proxied import ISTHMUS, ROOT, Account, Proxied
from tests.gateway.proxy.test_attacks import basic
from tests.gateway.proxy.test_large import resident
from tests.servers.certificates import certificate
from tests.servers.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS, make_bucket, other_client, seaweedfs

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.slow]

MIB = 1024 * 1024
CRC = "x-amz-checksum-crc32"


@dataclass
class Program:
    """One that was lent a token for an account of the bucket, and the token's keys."""

    proxied: Proxied
    account: Account
    endpoint: str
    access_key_id: str
    secret_access_key: str

    def client(self, **keys: str) -> Any:
        """botocore as a program sets it up. To be closed."""
        proxy = self.proxied.url(self.account)
        own = {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key} | keys
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            verify=str(self.proxied.ca),
            config=Config(
                proxies={"http": proxy, "https": proxy},
                retries={"max_attempts": 1},
                signature_version="s3v4",  # else it presigns by version 2 for the first region
            ),
            **{f"aws_{name}": value for name, value in own.items()},
        )

    def signer(self) -> ChunkSigner:
        return ChunkSigner(self.access_key_id, self.secret_access_key)

    def url(self, key: str) -> str:
        return f"{self.endpoint}/plain/{key}"

    def send(
        self, method: str, key: str, headers: dict[str, str], body: Iterable[bytes] | bytes | None = None
    ) -> tuple[int, str]:
        """Status and body of a request that is sent as it is given."""
        url = urlsplit(self.url(key))
        own = {"Proxy-Authorization": f"Basic {basic(self.account)}"}
        proxy = ("127.0.0.1", self.proxied.proxy_port)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.proxied.ca))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                *proxy, context=context, timeout=60
            )
            connection.set_tunnel(url.hostname or "", url.port, own)
            target, headers = url.path, headers
        else:
            connection = http.client.HTTPConnection(*proxy, timeout=60)
            target, headers = self.url(key), headers | own
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def upload(
        self, key: str, sizes: list[int], trailer: tuple[str, str] | None = None, **changed: Any
    ) -> tuple[int, str]:
        """An upload in chunks of these sizes; `changed` may give another `body` of the same length."""
        signer = self.signer()
        headers = signer.head("PUT", self.url(key), sum(sizes), trailer[0] if trailer else None)
        body = b"".join(signer.pieces([content(size, n) for n, size in enumerate(sizes)], trailer))
        body = changed.get("body", lambda right: right)(body)
        return self.send("PUT", key, {**headers, "content-length": str(len(body))}, body)


def content(size: int, number: int = 0) -> bytes:
    return bytes([65 + number % 26]) * size


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    folder = tmp_path_factory.mktemp("tls")
    pem = certificate(folder)
    (folder / "server.pem").write_text((folder / "key.pem").read_text() + pem)
    with seaweedfs(tmp_path_factory.mktemp("weed"), tls=folder / "server.pem") as server:
        make_bucket(server, "plain")
        yield server


@pytest.fixture(scope="module", params=["http", "https"])
def program(
    request: pytest.FixtureRequest,
    proxied: Proxied,
    weed: SeaweedFS,
    tmp_path_factory: pytest.TempPathFactory,
) -> Program:
    trust, endpoint = {}, weed.endpoint
    if request.param == "https":
        endpoint = f"https://localhost:{weed.tls_port}"
        trusted = tmp_path_factory.mktemp("trusted") / "ca.pem"
        trusted.write_text(ssl.get_server_certificate(("localhost", weed.tls_port)))
        trust = {"ca": f"@{trusted}"}
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    account = proxied.add(
        "s3_compatible", endpoint=endpoint, bucket="plain", path_style="true", **keys, **trust
    )
    lent = proxied.isthmus("proxy", "token", "create", "--account", str(account.id))
    return Program(proxied, Account(account.id, lent["token"]), endpoint, **lent["aws"])


@pytest.fixture(scope="module")
def stored(weed: SeaweedFS) -> Iterator[Any]:
    """The store as another client sees it that has its real keys."""
    client = other_client(weed)
    yield client
    client.close()


def is_there(stored: Any, key: str) -> bool:
    listed = stored.list_objects_v2(Bucket="plain", Prefix=key)
    return key in [one["Key"] for one in listed.get("Contents", [])]


def read(stored: Any, key: str) -> bytes:
    found: bytes = stored.get_object(Bucket="plain", Key=key)["Body"].read()
    return found


def test_the_sdk_writes_copies_lists_and_reads(program: Program, stored: Any) -> None:
    s3 = program.client()
    key = "dir/ä b+c~.txt"
    s3.put_object(Bucket="plain", Key=key, Body=b"signed", Metadata={"colour": "a  b"})
    s3.copy_object(Bucket="plain", Key="copy", CopySource={"Bucket": "plain", "Key": key})
    assert s3.get_object(Bucket="plain", Key="copy")["Body"].read() == b"signed"
    assert key in [one["Key"] for one in s3.list_objects_v2(Bucket="plain", Prefix="dir/")["Contents"]]
    s3.delete_object(Bucket="plain", Key=key)
    assert not is_there(stored, key)
    s3.close()


def test_the_sdk_writes_in_parts(program: Program, stored: Any) -> None:
    s3 = program.client()
    where = {"Bucket": "plain", "Key": "parts"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    parts = []
    for number in (1, 2, 3):
        part = s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=content(8 * MIB, number))
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    s3.close()
    assert read(stored, "parts") == b"".join(content(8 * MIB, number) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "InvalidAccessKeyId"),
        ({"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}, "InvalidAccessKeyId"),
    ],
)
def test_the_sdk_says_what_is_wrong_with_other_keys(
    program: Program, stored: Any, keys: dict[str, str], code: str
) -> None:
    s3 = program.client(**keys)
    with pytest.raises(ClientError, match=r"isthmus exec") as refused:
        s3.put_object(Bucket="plain", Key="wrong", Body=b"signed")
    s3.close()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert not is_there(stored, "wrong")


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws command is not installed here")
def test_aws_s3_cp_in_parts_both_ways(program: Program, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(MIB) * 24)
    proxy = program.proxied.url(program.account)
    env = {
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "AWS_CA_BUNDLE": str(program.proxied.ca),
        "AWS_ACCESS_KEY_ID": program.access_key_id,
        "AWS_SECRET_ACCESS_KEY": program.secret_access_key,
    }
    aws = ("aws", "--endpoint-url", program.endpoint, "--region", "us-east-1", "s3", "cp", "--no-progress")
    for source, target in ((tmp_path / "in", "s3://plain/by-aws"), ("s3://plain/by-aws", tmp_path / "out")):
        done = program.proxied.run(*aws, str(source), str(target), env=env)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_who_waits_to_be_asked_for_the_body_is_asked_or_refused(program: Program, stored: Any) -> None:
    """botocore waits so, without end over TLS: the proxy says 100, or at once why it does not want it."""
    for keys, expected in (({}, None), ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch")):
        s3 = program.client(**keys)
        begun = time.monotonic()
        try:
            s3.put_object(Bucket="plain", Key="asked", Body=b"x" * (2 * MIB))
            code = None
        except ClientError as error:
            code = error.response["Error"]["Code"]
        s3.close()
        assert code == expected
        assert time.monotonic() - begun < 30  # its own limit is a minute
    assert read(stored, "asked") == b"x" * (2 * MIB)


def test_curl_needs_no_signature(program: Program, stored: Any) -> None:
    stored.put_object(Bucket="plain", Key="unsigned", Body=b"as it is")
    assert program.proxied.curl(program.account, program.url("unsigned")) == (200, "as it is")
    chunks = ("x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "-d", "5;chunk-signature=0")
    status, why = program.proxied.curl(program.account, "-X", "PUT", "-H", *chunks, program.url("unsigned"))
    assert (status, "UNSIGNED-PAYLOAD" in why) == (501, True)


def test_curl_signs_too(program: Program, stored: Any, tmp_path: Path) -> None:
    """By a signer that is not botocore's; over TLS it speaks HTTP/2."""
    keys = f"{program.access_key_id}:{program.secret_access_key}"
    digest = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")  # curl 7.88 signs it, but does not add it
    sign = ("--aws-sigv4", "aws:amz:us-east-1:s3", "-H", "content-type: text/plain", *digest)
    curl = program.proxied.curl
    url = program.url("by-curl")
    assert curl(program.account, *sign, "--user", keys, "-X", "PUT", "-d", "by curl", url)[0] == 200
    assert curl(program.account, *sign, "--user", keys, url) == (200, "by curl")
    (tmp_path / "large").write_bytes(content(8 * MIB))
    for more in ((), ("-T", str(tmp_path / "large"))):
        status, body = curl(program.account, *sign, "--user", f"{keys}0", *more, url)
        assert (status, "SignatureDoesNotMatch" in body) == (403, True)
    assert read(stored, "by-curl") == b"by curl"


def test_presigned_urls_work_in_curl_as_long_as_they_say(
    program: Program, stored: Any, tmp_path: Path
) -> None:
    s3 = program.client()
    put, get, old = (
        s3.generate_presigned_url(method, {"Bucket": "plain", "Key": "pre signed"}, ExpiresIn=seconds)
        for method, seconds in (("put_object", 60), ("get_object", 60), ("get_object", 1))
    )
    s3.close()
    (tmp_path / "file").write_bytes(content(MIB))
    curl = program.proxied.curl
    assert curl(program.account, "-T", str(tmp_path / "file"), put)[0] == 200
    assert read(stored, "pre signed") == content(MIB)
    assert curl(program.account, get) == (200, content(MIB).decode())
    assert curl(program.account, "-I", get)[0] == 403  # a signature is for its method
    status, body = curl(program.account, get.replace("pre%20signed", "unsigned"))
    assert (status, "SignatureDoesNotMatch" in body) == (403, True)
    status, body = curl(program.account, re.sub("X-Amz-Date=[0-9]{4}", "X-Amz-Date=2020", old))
    assert (status, "AccessDenied" in body) == (403, True)


def test_a_body_that_is_not_the_one_that_was_signed_is_not_stored(program: Program, stored: Any) -> None:
    request = AWSRequest("PUT", program.url("digest"), {"x-amz-meta-a": "b"}, b"x" * MIB)
    keys = Credentials(program.access_key_id, program.secret_access_key)
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    headers = dict(request.headers.items())
    assert re.fullmatch("[0-9a-f]{64}", headers["X-Amz-Content-SHA256"])
    for wrong in (b"x" * (MIB - 1) + b"y", b"x" * (MIB - 1), b""):
        status, body = program.send("PUT", "digest", headers, wrong)
        assert (status, "XAmzContentSHA256Mismatch" in body) == (400, True), body
        assert not is_there(stored, "digest")
    assert program.send("PUT", "digest", headers, b"x" * MIB)[0] == 200
    assert read(stored, "digest") == b"x" * MIB
    stored.delete_object(Bucket="plain", Key="digest")


@pytest.mark.parametrize("sizes", [[65536] * 5 + [1024], [1], [MIB, MIB], []])
def test_an_upload_in_signed_chunks_is_stored_as_what_it_was_made_of(
    program: Program, stored: Any, sizes: list[int]
) -> None:
    whole = b"".join(content(size, n) for n, size in enumerate(sizes))
    assert program.upload("chunked", sizes) == (200, "")
    assert read(stored, "chunked") == whole
    assert "aws-chunked" not in stored.head_object(Bucket="plain", Key="chunked").get("ContentEncoding", "")
    checksum = b64encode(crc32(whole).to_bytes(4)).decode()
    assert program.upload("trailed", sizes, (CRC, checksum)) == (200, "")
    assert read(stored, "trailed") == whole


def test_a_wrong_checksum_behind_signed_chunks_is_refused_by_the_store(program: Program, stored: Any) -> None:
    status, _ = program.upload("checksum", [65536, 10], (CRC, "AAAAAA=="))
    assert status == 400
    assert not is_there(stored, "checksum")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda body: body.replace(b"A" * 10, b"B" * 10, 1), "SignatureDoesNotMatch"),
        (lambda body: body[:-100] + body[-100:].replace(b"C", b"D", 1), "SignatureDoesNotMatch"),
        (lambda body: body[: 65536 * 2], "IncompleteBody"),
        (lambda body: body[:-88], "IncompleteBody"),
        (lambda body: body + b"more", "InvalidRequest"),
    ],
    ids=["first chunk", "last chunk", "cut off", "without an end", "with more"],
)
def test_of_an_upload_with_a_wrong_chunk_nothing_is_stored(
    program: Program, stored: Any, change: Any, expected: str
) -> None:
    status, body = program.upload("tampered", [65536, 65536, 65536 * 8], body=change)
    assert status in (400, 403)
    assert expected in body
    assert not is_there(stored, "tampered")


def test_a_large_upload_in_signed_chunks_takes_no_memory_for_its_size(program: Program, stored: Any) -> None:
    size, chunk = 200 * MIB, 128 * 1024
    count = size // chunk
    assert program.upload("warm", [chunk] * 8)[0] == 200
    before, most = resident(program.proxied), 0
    signer, piece = program.signer(), os.urandom(chunk)
    headers = signer.head("PUT", program.url("large"), size)

    def body() -> Iterator[bytes]:
        nonlocal most
        for number, part in enumerate(signer.pieces([piece] * count)):
            if number % 100 == 0:
                most = max(most, resident(program.proxied))
            yield part

    headers["content-length"] = str(encoded_length([chunk] * count))
    assert program.send("PUT", "large", headers, body())[0] == 200
    assert max(most, resident(program.proxied)) - before < 32 * MIB
    found = hashlib.sha256()
    for part in stored.get_object(Bucket="plain", Key="large")["Body"].iter_chunks(MIB):
        found.update(part)
    assert found.digest() == hashlib.sha256(piece * count).digest()


# where the keys come from


def test_exec_gives_its_tokens_keys(proxied: Proxied, account: Account) -> None:
    words = (*ISTHMUS, "exec", "--account", str(account.id), "--data", str(proxied.data), "--", "env")
    there = (*ISTHMUS, "exec", "--account", str(account.id), "--gateway", f"http://127.0.0.1:{proxied.port}")
    for command, given in ((words, {}), ((*there, "--", "env"), {"ISTHMUS_TOKEN": account.token})):
        env = dict(
            line.split("=", 1) for line in proxied.run(*command, env=given).stdout.splitlines() if "=" in line
        )
        token = urlsplit(env["HTTPS_PROXY"]).password or ""
        assert by_openssl(proxied, token) == [env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]]


def test_the_page_says_how_a_token_without_them_gets_its_keys(program: Program) -> None:
    assert by_openssl(program.proxied, program.account.token) == [
        program.access_key_id,
        program.secret_access_key,
    ]


def by_openssl(proxied: Proxied, token: str) -> list[str]:
    """The keys as the page's own commands make them."""
    page = (ROOT / "docs" / "proxy" / "signed-requests.md").read_text()
    script = page.partition("```sh\ndigest=")[2].partition("```")[0]
    shown = "echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"
    done = proxied.run("bash", "-c", f"digest={script}\n{shown}", env={"TOKEN": token})
    return done.stdout.split()
