"""What fake-gcs-server does not check, on the contract double: tokens, conditions, sessions, refusals."""

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.gcs import GcsConnector, uploads
from connectors.gcs.credentials import ServiceAccount
from connectors.gcs.errors import meaning
from connectors.gcs.origin import Origin
from connectors.gcs.settings import GcsSettings
from connectors.gcs.signing import presigned
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    BadSpan,
    Connector,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    StoreError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)
from tests.servers.gcs_double import GRAIN, GcsDouble, gcs_double

MIB = 1024 * 1024


@pytest.fixture
def double() -> Iterator[GcsDouble]:
    with gcs_double() as made:
        yield made


def account(double: GcsDouble, **settings: Any) -> Store:
    known = {"endpoint": double.endpoint, "bucket": "plain", "credentials": double.credentials()}
    return Store(GcsConnector, {**known, **settings}, Direct(), idle_timeout=5.0)


@pytest_asyncio.fixture
async def gcs(double: GcsDouble) -> AsyncIterator[FullConnector]:
    async with account(double).opened() as connector:
        yield cast("FullConnector", connector)


async def then(chunks: list[bytes], act: Callable[[], object]) -> AsyncIterator[bytes]:
    """The chunks; before the last one something happens."""
    for chunk in chunks[:-1]:
        yield chunk
    act()
    yield chunks[-1]


# tokens


async def test_one_token_serves_all(double: GcsDouble, gcs: FullConnector) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(gcs.stat(""))
    await put(gcs, "", "file")
    assert len(double.issued) == 1


async def test_a_token_that_is_over_is_renewed_once(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "file", b"bytes")
    double.revoke()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(gcs.stat("file"))
    assert await whole(gcs, "file") == b"bytes"
    assert len(double.issued) == 2


async def test_a_token_is_renewed_before_its_end(double: GcsDouble, gcs: FullConnector) -> None:
    double.token_lives = 1
    await gcs.stat("")
    await gcs.stat("")
    assert len(double.issued) == 1
    tokens = cast("GcsConnector", gcs)._bucket._tokens
    assert tokens is not None
    assert tokens._good_until <= time.monotonic() + 0.5  # half a life, where a life is short
    double.token_lives = 3600
    tokens._good_until = 0
    await gcs.stat("")
    assert len(double.issued) == 2
    assert time.monotonic() + 3200 < tokens._good_until < time.monotonic() + 3301
    sent = {one["authorization"] for one in double.sent if "authorization" in one}
    assert sent == {f"Bearer {token}" for token in double.issued}


async def test_an_upload_outlives_its_token(double: GcsDouble, gcs: FullConnector) -> None:
    """The session's address needs none: a stream could not be sent again."""
    content = os.urandom(9 * MIB)
    half = len(content) // 2
    entry = await gcs.write(
        "", "file", then([content[:half], content[half:]], double.revoke), size=None, replace=False
    )
    assert await whole(gcs, entry.raw_id) == content


@pytest.mark.parametrize(
    ("status", "error"), [(400, BadCredential), (401, BadCredential), (429, Throttled), (503, Unavailable)]
)
async def test_a_token_server_that_refuses(
    double: GcsDouble, gcs: FullConnector, status: int, error: type[StoreError]
) -> None:
    double.fail("POST", "/token", status, "invalid_grant")
    with pytest.raises(error) as told:
        await gcs.stat("")
    assert "secret" not in str(told.value)
    await gcs.stat("")


async def test_a_key_of_somebody_else(double: GcsDouble) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with account(double, credentials=double.credentials(private_key=pem)).opened() as connector:
        for verb in (connector.stat(""), connector.list("", None, 5), put(connector, "", "file")):
            with pytest.raises(BadCredential, match="key"):
                await verb
    assert double.requests("GET") == []


async def test_no_key_where_one_is_needed(double: GcsDouble) -> None:
    async with account(double, credentials="").opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("")


async def test_a_store_that_accepts_no_token(double: GcsDouble, gcs: FullConnector) -> None:
    double.fail("GET", "/storage/", 401, "authError", times=99)
    with pytest.raises(BadCredential):
        await gcs.stat("")
    assert len(double.issued) == 2
    assert len(double.requests("GET")) == 2


async def test_tokens_come_through_the_dialer(double: GcsDouble) -> None:
    class Resolving(Direct):
        def __init__(self) -> None:
            self.hosts: list[str] = []

        async def connect[P: asyncio.BaseProtocol](
            self,
            factory: Callable[[], P],
            host: str,
            port: int,
            *,
            tls: ssl.SSLContext | None = None,
            server_hostname: str | None = None,
        ) -> tuple[asyncio.Transport, P]:
            self.hosts.append(host)
            return await super().connect(factory, "127.0.0.1", port)

    dialer = Resolving()
    port = double.endpoint.rpartition(":")[2]
    double.endpoint = f"http://oauth2.example:{port}"
    settings = {
        "endpoint": f"http://storage.example:{port}",
        "bucket": "plain",
        "credentials": double.credentials(),
    }
    async with Store(GcsConnector, settings, dialer).opened() as connector:
        await connector.stat("")
    assert dialer.hosts == ["oauth2.example", "storage.example"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"{}", BadAnswer), (b"<html>", BadAnswer), (b'{"access_token": "a\\nb", "expires_in": 9}', BadAnswer)],
)
async def test_a_token_server_that_answers_oddly(
    double: GcsDouble, answer: bytes, error: type[StoreError]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        credentials = double.credentials(token_uri=f"http://127.0.0.1:{port}/token")
        async with account(double, credentials=credentials).opened() as connector:
            with pytest.raises(error):
                await connector.stat("")


# versions and conditions


@pytest.mark.parametrize("size", [600_000, None], ids=["length known", "length unknown"])
async def test_a_name_that_is_taken_meanwhile_is_kept(
    double: GcsDouble, gcs: FullConnector, size: int | None
) -> None:
    def take() -> None:
        double.buckets["plain"].put("name", b"first", "text/plain", {})

    content = os.urandom(600_000)
    with pytest.raises(AlreadyExists):
        await gcs.write("", "name", then([content[:9], content[9:]], take), size=size, replace=False)
    assert await whole(gcs, "name") == b"first"


async def test_a_version_that_goes_meanwhile_is_no_lost_update(double: GcsDouble, gcs: FullConnector) -> None:
    entry = await put(gcs, "", "name", b"mine")

    def change() -> None:
        double.buckets["plain"].put("name", b"theirs", "text/plain", {})

    with pytest.raises(PreconditionFailed):
        await gcs.write("", "name", then([b"a", b"b"], change), size=2, replace=True, etag=entry.etag)
    assert await whole(gcs, "name") == b"theirs"


async def test_bytes_are_of_the_version_that_was_described(double: GcsDouble, gcs: FullConnector) -> None:
    entry = await put(gcs, "", "name", b"one")
    double.fail("GET", "alt=media", 412, "conditionNotMet")  # it changed between the two requests
    with pytest.raises(PreconditionFailed):
        await gcs.read("name")
    assert entry.etag is not None
    assert f"ifGenerationMatch={entry.etag}" in double.requests("GET", "alt=media")[0]


async def test_a_version_that_was_never_one(gcs: FullConnector) -> None:
    await put(gcs, "", "name", b"one")
    with pytest.raises(PreconditionFailed):
        await whole(gcs, "name", etag="no generation")
    with pytest.raises(PreconditionFailed):
        await put(gcs, "", "name", replace=True, etag="no generation")
    with pytest.raises(PreconditionFailed):
        await put(gcs, "", "other", replace=True, etag="1")


async def test_every_version_is_purged(double: GcsDouble) -> None:
    async with account(double, bucket="versioned").opened() as connector:
        gcs, bucket = cast("FullConnector", connector), double.buckets["versioned"]
        for number in range(3):
            await put(gcs, "", "name", bytes([number]), replace=True)
        await put(gcs, "", "name.other", b"x")
        await gcs.delete("name")
        assert len(bucket.old) == 3
        await gcs.purge("name")  # of a file that is deleted, as its versions are left
        assert bucket.old == []
        assert await names(gcs, "") == ["name.other"]
        with pytest.raises(NotFound):
            await gcs.purge("name")
        await put(gcs, (await gcs.mkdir("", "folder")).raw_id, "file")
        await gcs.delete("folder/", recursive=True)
        await gcs.purge("folder/", recursive=True)
        assert bucket.old == []


async def test_properties_leave_the_version_alone(double: GcsDouble, gcs: FullConnector) -> None:
    entry = await put(gcs, "", "name", b"one")
    await gcs.set_properties("name", {"a": "b", "none": None})
    assert (await gcs.stat("name")).etag == entry.etag
    with pytest.raises(InvalidName):
        await gcs.set_properties("name", {"": "b"})
    double.fail("PATCH", "name", 400, "invalid")
    with pytest.raises(InvalidName):
        await gcs.set_properties("name", {"a": "x" * 10_000})
    assert await gcs.properties("name") == {"a": "b"}


# moves and copies


async def test_a_copy_may_take_several_requests(double: GcsDouble, gcs: FullConnector) -> None:
    double.rewrite_requests = 3
    await put(gcs, "", "one", b"bytes")
    await gcs.set_properties("one", {"colour": "red"})
    await gcs.copy("one", "", "two")
    assert await whole(gcs, "two") == b"bytes"
    assert await gcs.properties("two") == {"colour": "red"}
    assert len(double.requests("POST", "rewriteTo")) == 3


async def test_a_copy_of_a_file_that_changes_is_none(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "one", b"1")
    double.fail("POST", "rewriteTo", 412, "conditionNotMet")  # the source changed: nothing has the name
    with pytest.raises(PreconditionFailed):
        await gcs.copy("one", "", "two")
    assert await names(gcs, "") == ["one"]


async def test_a_move_deletes_no_other_version(double: GcsDouble, gcs: FullConnector) -> None:
    """Somebody writes to the file after it was copied: their bytes stay where they wrote them."""
    await put(gcs, "", "one", b"1")
    double.fail("DELETE", "one", 412, "conditionNotMet")
    with pytest.raises(PreconditionFailed):
        await gcs.move("one", "", "two")
    assert await whole(gcs, "one") == await whole(gcs, "two") == b"1"
    assert "ifGenerationMatch=" in double.requests("DELETE")[0]


async def test_a_broken_move_of_a_folder_loses_nothing(double: GcsDouble, gcs: FullConnector) -> None:
    folder = (await gcs.mkdir("", "folder")).raw_id
    for number in range(30):
        await put(gcs, folder, f"{number:02}")
    double.fail("POST", "%2F17/rewriteTo", 403, "forbidden")
    with pytest.raises(NotPermitted):
        await gcs.move(folder, "", "moved")
    left, there = await names(gcs, folder), await names(gcs, "moved/")
    assert set(left) | set(there) == {f"{number:02}" for number in range(30)}
    assert "17" in left


async def test_a_tree_of_many_pages(double: GcsDouble, gcs: FullConnector) -> None:
    double.buckets["plain"].most_listed = 7
    folder = (await gcs.mkdir("", "folder")).raw_id
    for number in range(20):
        await put(gcs, folder, f"{number:02}")
    await gcs.copy(folder, "", "copied")
    moved = await gcs.move(folder, "", "moved")
    assert await names(gcs, "copied/") == await names(gcs, moved.raw_id) == [f"{n:02}" for n in range(20)]
    await gcs.delete("copied/", recursive=True)
    await gcs.purge("moved/", recursive=True)
    assert await names(gcs, "") == []


# listings


async def test_pages_that_the_store_makes_short_or_empty(double: GcsDouble, gcs: FullConnector) -> None:
    bucket = double.buckets["plain"]
    for name in ("f/", "f/a", "f/b/x", "f/b/y", "f/c", "f/d/x"):
        bucket.put(name, b"", "text/plain", {})
    for most in (1, 2, 3, 1000):
        bucket.most_listed = most
        for limit in (1, 2, 3, 10):
            assert await names(gcs, "f/", limit) == ["a", "b", "c", "d"]
    bucket.empty_pages = 2
    assert await names(gcs, "f/") == ["a", "b", "c", "d"]
    bucket.empty_pages = 2
    await gcs.stat("f/")
    bucket.empty_pages = 2
    with pytest.raises(NotFound):
        await gcs.stat("nothing/")


# uploads


@pytest.mark.parametrize("size", [0, 1, GRAIN, 3 * GRAIN + 5])
async def test_a_known_length_is_one_request(double: GcsDouble, gcs: FullConnector, size: int) -> None:
    content = os.urandom(size)
    entry = await put(gcs, "", "file.txt", content)
    assert (entry.size, entry.mime_type) == (size, "text/plain")
    assert len(double.requests("PUT")) == 1
    assert await whole(gcs, "file.txt") == content


async def test_an_unknown_length_goes_in_pieces(
    double: GcsDouble, gcs: FullConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE", 2 * GRAIN)
    for size in (0, 1, 2 * GRAIN, 2 * GRAIN + 1, 7 * GRAIN, 8 * GRAIN):
        content = os.urandom(size)
        await gcs.write("", "file", pieces(content, 99_999), size=None, replace=True)
        assert await whole(gcs, "file") == content
    ranges = [one["content-range"] for one in double.sent if "content-range" in one]
    assert ranges[-4:] == [
        f"bytes {first}-{first + 2 * GRAIN - 1}/{total}"
        for first, total in ((0, "*"), (2 * GRAIN, "*"), (4 * GRAIN, "*"), (6 * GRAIN, 8 * GRAIN))
    ]


async def test_what_the_store_did_not_keep_is_sent_again(
    double: GcsDouble, gcs: FullConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE", 4 * GRAIN)
    monkeypatch.setattr(uploads, "_FIRST_PAUSE", 0.01)
    content = os.urandom(9 * GRAIN + 11)
    double.keep = [GRAIN, 0, 2 * GRAIN, 0, 0, 4 * GRAIN, 2 * GRAIN]
    await gcs.write("", "file", pieces(content), size=None, replace=False)
    assert await whole(gcs, "file") == content
    assert double.keep == []


async def test_a_store_that_keeps_nothing(
    double: GcsDouble, gcs: FullConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_FIRST_PAUSE", 0.01)
    double.keep = [0] * 50
    with pytest.raises(Unavailable, match="nothing"):
        await gcs.write("", "file", pieces(b"x" * GRAIN), size=None, replace=False)
    assert len(double.cancelled) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_piece_that_fails_for_the_moment_is_resumed(
    double: GcsDouble, gcs: FullConnector, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(uploads, "PIECE", 2 * GRAIN)
    monkeypatch.setattr(uploads, "_FIRST_PAUSE", 0.01)
    content = os.urandom(5 * GRAIN)

    def fail() -> None:
        double.fail("PUT", "upload_id", status, times=2)

    await gcs.write("", "file", then([content[:-9], content[-9:]], fail), size=None, replace=False)
    assert await whole(gcs, "file") == content


async def test_a_store_that_is_busy_for_long_is_not_waited_for(double: GcsDouble, gcs: FullConnector) -> None:
    double.fail("PUT", "upload_id", 429, "rateLimitExceeded", headers={"Retry-After": "600"}, times=9)
    with pytest.raises(Throttled) as told:
        await gcs.write("", "file", pieces(b"x"), size=None, replace=False)
    assert told.value.retry_after == 600
    assert len(double.cancelled) == 1


@pytest.mark.parametrize("size", [1000, None], ids=["length known", "length unknown"])
async def test_an_answer_that_is_lost_is_asked_for(
    double: GcsDouble, gcs: FullConnector, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    """The object is there: the session says so, and nothing is stored twice."""
    monkeypatch.setattr(uploads, "_FIRST_PAUSE", 0.01)
    double.cut_answers = 1
    entry = await gcs.write("", "file", pieces(b"x" * 1000), size=size, replace=False)
    assert entry == await gcs.stat("file")


@pytest.mark.parametrize(
    ("size", "told"), [(999, "longer"), (0, "longer"), (1001, "length")], ids=["short", "0", "long"]
)
async def test_another_length_than_was_declared(
    double: GcsDouble, gcs: FullConnector, size: int, told: str
) -> None:
    await put(gcs, "", "file", b"former")
    with pytest.raises(Unavailable, match=told):
        await gcs.write("", "file", pieces(b"x" * 1000, 111), size=size, replace=True)
    assert await whole(gcs, "file") == b"former"
    assert double.sessions == {}


@pytest.mark.parametrize("size", [20 * MIB, None], ids=["length known", "length unknown"])
@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_session_that_fails_is_cancelled(
    double: GcsDouble, gcs: FullConnector, size: int | None, cancelled: bool
) -> None:
    begun = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield os.urandom(MIB)
        begun.set()
        if cancelled:
            await asyncio.sleep(3600)
        raise ConnectionAbortedError("the client went away")

    async with asyncio.TaskGroup() as tasks:
        upload = tasks.create_task(_outcome(gcs.write("", "file", broken(), size=size, replace=False)))
        async with asyncio.timeout(20):
            await begun.wait()
        if cancelled:
            upload.cancel()
    assert cancelled or isinstance(upload.result(), ConnectionAbortedError)
    assert len(double.cancelled) == 1
    assert double.sessions == {}
    assert double.buckets["plain"].live == {}


async def _outcome(verb: Any) -> Exception | None:
    try:
        await verb
    except Exception as error:  # noqa: BLE001  # what it raises is what the test is about
        return error
    return None


async def test_a_session_that_the_store_gave_up(double: GcsDouble, gcs: FullConnector) -> None:
    content = os.urandom(9 * MIB)
    chunks = then([content[: MIB * 8 + 1], content], double.sessions.clear)
    with pytest.raises(Unavailable, match="session"):
        await gcs.write("", "file", chunks, size=None, replace=False)


# downloads


async def test_a_download_that_breaks_is_no_end(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "file", os.urandom(MIB))
    double.cut_downloads = 1
    with pytest.raises(Unavailable):
        await whole(gcs, "file")


async def test_a_store_that_is_silent(double: GcsDouble) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        settings = {
            "endpoint": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "bucket": "plain",
            "credentials": double.credentials(),
        }
        async with Store(GcsConnector, settings, Direct(), idle_timeout=0.2).opened() as connector:
            with pytest.raises(TimedOut):
                await connector.stat("")


# refusals


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "invalid", InvalidName),
        (400, "userProjectMissing", NotPermitted),
        (401, "authError", BadCredential),
        (403, "forbidden", NotPermitted),
        (403, "insufficientPermissions", NotPermitted),
        (403, "rateLimitExceeded", Throttled),
        (403, "userRateLimitExceeded", Throttled),
        (403, "quotaExceeded", Throttled),
        (403, "retentionPolicyNotMet", NotPermitted),
        (403, "accountDisabled", NotPermitted),
        (403, "UserProjectAccountProblem", NotPermitted),
        (404, "notFound", NotFound),
        (405, "methodNotAllowed", Unsupported),
        (408, "uploadBrokenConnection", Unavailable),
        (412, "conditionNotMet", PreconditionFailed),
        (412, "orgPolicyConstraintFailed", NotPermitted),
        (413, "uploadTooLarge", OutOfSpace),
        (416, "requestedRangeNotSatisfiable", BadSpan),
        (429, "rateLimitExceeded", Throttled),
        (500, "backendError", Unavailable),
        (502, "", Unavailable),
        (503, "backendError", Unavailable),
        (418, "", BadAnswer),
    ],
)
async def test_what_refusals_mean(
    double: GcsDouble, gcs: FullConnector, status: int, reason: str, error: type[StoreError]
) -> None:
    double.fail("GET", "/o/file", status, reason, times=99)
    with pytest.raises(error) as told:
        await gcs.stat("file")
    assert type(told.value) is error
    assert "secret" not in str(told.value)
    assert "localhost" not in str(told.value)


def test_a_busy_store_says_when() -> None:
    busy = meaning(503, "backendError", retry_after=7)
    assert (type(busy), busy.retry_after) == (Throttled, 7)


async def test_retry_after_is_handed_on(double: GcsDouble, gcs: FullConnector) -> None:
    double.fail("GET", "/o/file", 429, "rateLimitExceeded", headers={"Retry-After": "30"})
    with pytest.raises(Throttled) as told:
        await gcs.stat("file")
    assert told.value.retry_after == 30
    assert len(double.requests("GET", "/o/file")) == 1


async def test_a_look_is_repeated_when_the_store_fails_for_the_moment(
    double: GcsDouble, gcs: FullConnector
) -> None:
    await put(gcs, "", "file")
    double.fail("GET", "/o/file", 503, "backendError", times=2)
    await gcs.stat("file")
    double.fail("DELETE", "/o/file", 503, "backendError")
    with pytest.raises(Unavailable):  # what changes something is not
        await gcs.delete("file")


async def test_answers_that_are_none(double: GcsDouble) -> None:
    answers = [b"<html>", b"[]", b'{"items": 3}', b'{"items": [{}]}', b'{"name": "file"}', b"\xff"]
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = left.pop(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with account(double, endpoint=endpoint, credentials="").opened() as connector:
            for answer in answers:
                verb = connector.stat("file" if b"name" in answer else "")
                with pytest.raises(BadAnswer):
                    await verb
    assert left == []


# presigned URLs


def test_signatures_as_in_the_vendors_conformance_tests() -> None:
    """googleapis/conformance-tests, storage/v1/v4_signatures.json, "Simple GET": what is signed there."""
    signed: list[bytes] = []

    class Signer(ServiceAccount):
        def sign(self, text: bytes) -> bytes:
            signed.append(text)
            return b"\xab"

    email = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"
    account = Signer(email, "", "", cast("rsa.RSAPrivateKey", None))
    now, origin = datetime(2019, 2, 1, 9, tzinfo=UTC), Origin.of("https://storage.googleapis.com")
    url = presigned(account, origin, "GET", "test-bucket", "test-object", 10, now)
    assert signed == [
        b"GOOG4-RSA-SHA256\n20190201T090000Z\n20190201/auto/storage/goog4_request\n"
        b"00e2fb794ea93d7adb703edaebdd509821fcc7d4f1a79ac5c8d2b394df109320"
    ]
    assert url == (
        "https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256"
        "&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount.com%2F20190201"
        "%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10"
        "&X-Goog-SignedHeaders=host&X-Goog-Signature=ab"
    )


async def test_a_presigned_url_is_for_its_own_request(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "file")
    signed = await gcs.download_url("file", expires=60)
    path = signed.url.removeprefix(double.endpoint)
    client = cast("GcsConnector", gcs)._bucket._client
    for method, target, status in (
        ("GET", path, 200),
        ("PUT", path, 403),
        ("GET", path.replace("/file?", "/other?"), 403),
        ("GET", path.replace("Expires=60", "Expires=600"), 403),
    ):
        answer = await client.request(method, target, body=b"" if method == "PUT" else None)
        assert answer.status == status
        await answer.aclose()
    for expires in (0, 7 * 24 * 3600 + 1):
        with pytest.raises(Unsupported):
            await gcs.download_url("file", expires=expires)


# headers


async def test_headers_go_along_but_for_our_own(double: GcsDouble, gcs: FullConnector) -> None:
    other = gcs.with_headers({"X-Goog-User-Project": "payer"}).with_headers({"X-Trace": "abc"})
    await put(other, "", "file", b"bytes")
    assert await whole(other, "file") == b"bytes"
    mine = [one for one in double.sent if "grant_type" not in one and one.get("x-trace") == "abc"]
    assert len(mine) == len([one for one in double.seen if "/token" not in one])
    assert {one["x-goog-user-project"] for one in mine} == {"payer"}
    count = len(double.seen)
    await gcs.stat("file")
    assert "x-trace" not in double.sent[count]
    for name in ("Authorization", "HOST", "Content-Length", "Range", "x-goog-if-generation-match", "a b", ""):
        with pytest.raises(Unsupported):
            gcs.with_headers({name: "x"})
    with pytest.raises(Unsupported):
        gcs.with_headers({"X-Trace": "a\r\nX-Other: b"})


# settings


@pytest.mark.parametrize(
    "endpoint", ["storage", "ftp://x", "https://u:p@x", "https://x/a", "https://x:99999"]
)
def test_endpoints_that_can_not_be(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        GcsSettings(endpoint=endpoint, bucket="plain")


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "a/b"},
        {"bucket": "Ab"},
        {"bucket": "plain", "prefix": "a//b"},
        {"bucket": "plain", "prefix": "../b"},
        {"bucket": "plain", "ca": "none"},
    ],
)
def test_settings_that_can_not_be(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GcsSettings.model_validate(changes)


def test_settings_as_they_are_filled_in() -> None:
    settings = GcsSettings.model_validate({"bucket": "plain", "prefix": "/a/b/", "credentials": " "})
    assert (settings.prefix, settings.credentials) == ("a/b", None)
    assert settings.endpoint == "https://storage.googleapis.com"
    assert settings.display_name() == "plain/a/b"


def test_key_files_that_are_none(double: GcsDouble) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    curve = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    good = double.credentials()
    for text, told in (
        ("secret", "JSON"),
        ("[]", "service_account"),
        (json.dumps({**json.loads(good), "type": "authorized_user"}), "service_account"),
        (double.credentials(client_email=""), "client_email"),
        (double.credentials(token_uri="secret"), "token_uri"),
        (double.credentials(private_key="secret"), "PEM"),
        (double.credentials(private_key=curve), "RSA"),
    ):
        with pytest.raises(ValueError, match=told) as refused:
            ServiceAccount.parse(text)
        assert "secret" not in str(refused.value)
        with pytest.raises(ValidationError):
            GcsSettings.model_validate({"bucket": "plain", "credentials": text})


def test_what_is_shown_has_no_secret(double: GcsDouble) -> None:
    settings = GcsSettings.model_validate({"bucket": "plain", "credentials": double.credentials()})
    assert "PRIVATE" not in repr(settings) + repr(settings.service_account()) + settings.display_name()


async def test_what_the_store_says_names_no_host(gcs: FullConnector) -> None:
    connector: Connector = gcs
    raw = (await put(connector, "", "file")).raw
    assert raw is not None
    assert "inner.example" not in json.dumps(dict(raw))
    assert raw["bucket"] == "plain"
