"""What only S3 has, on a real SeaweedFS; and a second implementation, `rclone serve s3`."""

import asyncio
import hashlib
import os
import re
import secrets
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import botocore.auth
import pytest
import pytest_asyncio

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.interface import (
    AlreadyExists,
    BadCredential,
    InvalidName,
    Kind,
    NotEmpty,
    NotFound,
    NotPermitted,
    PreconditionFailed,
    Span,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from connectors.s3 import S3CompatibleConnector, trees, uploads
from tests.connectors.leaving import REQUESTING, Verb, leave_at_every_moment
from tests.gateway.tunnel.tunnels import certified, until
from tests.servers.rclone import Rclone, rclone_s3
from tests.servers.seaweedfs import (
    ACCESS_KEY,
    READER,
    READER_SECRET,
    SECRET_KEY,
    SeaweedFS,
    make_bucket,
    other_client,
    seaweedfs,
)

pytestmark = pytest.mark.server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("weed")) as server:
        make_bucket(server, "plain")
        make_bucket(server, "versioned", versioned=True)
        yield server


def account(server: SeaweedFS, **more: Any) -> Store:
    settings = {
        "endpoint": server.endpoint,
        "bucket": "plain",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        **more,
    }
    return Store(S3CompatibleConnector, settings, Direct())


@pytest_asyncio.fixture
async def s3(weed: SeaweedFS) -> AsyncIterator[FullConnector]:
    async with account(weed).opened() as connector:
        yield cast("FullConnector", connector)


@pytest_asyncio.fixture
async def folder(s3: FullConnector, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"\W", "-", request.node.name)
    return (await s3.mkdir("", name)).raw_id


@pytest.fixture(scope="module")
def other(weed: SeaweedFS) -> Iterator[Any]:
    """botocore's own client: what others put into the bucket, and what they find in it."""
    client = other_client(weed)
    yield client
    client.close()


# credentials


async def test_a_wrong_secret_and_an_unknown_key(weed: SeaweedFS) -> None:
    for wrong, words in (
        ({"secret_access_key": "wr0ng"}, "secret"),
        ({"access_key_id": "NOBODY"}, "access key"),
    ):
        async with account(weed, **wrong).opened() as connector:
            for verb in (
                connector.stat(""),
                connector.stat("x"),
                connector.read("x"),
                put(connector, "", "x"),
            ):
                with pytest.raises(BadCredential, match=words) as told:
                    await verb
                assert "wr0ng" not in str(told.value)


async def test_a_key_that_may_only_read(weed: SeaweedFS, s3: FullConnector, folder: str) -> None:
    entry = await put(s3, folder, "file", b"content")
    only = {"access_key_id": READER, "secret_access_key": READER_SECRET}
    async with account(weed, **only).opened() as reader:
        assert await whole(reader, entry.raw_id) == b"content"
        for verb in (put(reader, folder, "x"), reader.delete(entry.raw_id)):
            with pytest.raises(NotPermitted):
                await verb
    assert await names(s3, folder) == ["file"]


async def test_a_bucket_that_is_not_there(weed: SeaweedFS) -> None:
    async with account(weed, bucket="nowhere").opened() as connector:
        with pytest.raises(NotFound, match="bucket"):
            await connector.stat("")


async def test_a_clock_that_is_wrong(s3: FullConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: late)
    for verb in (s3.stat(""), s3.stat("file")):
        with pytest.raises(Unavailable, match="clock"):
            await verb


# TLS


async def test_over_tls_with_our_own_authority(tmp_path: Path) -> None:
    made = certified(tmp_path, "localhost")
    with seaweedfs(tmp_path / "weed", tls=tmp_path / "server.pem") as server:
        make_bucket(server, "plain")
        tls = {"endpoint": f"https://localhost:{server.tls_port}"}
        async with account(server, **tls, ca=made.ca_file.read_text()).opened() as connector:
            content = os.urandom(3 * MIB)
            entry = await put(connector, "", "file", content)
            assert await whole(connector, entry.raw_id) == content
            await connector.delete("file")
        async with account(server, **tls).opened() as connector:
            with pytest.raises(UntrustedHost, match="certificate"):
                await connector.stat("")


# keys that others made


async def test_a_file_and_a_folder_of_one_name(s3: FullConnector, other: Any, folder: str) -> None:
    other.put_object(Bucket="plain", Key=f"{folder}both/inside", Body=b"1")
    other.put_object(Bucket="plain", Key=f"{folder}both", Body=b"22")
    found = {entry.raw_id: entry.kind for entry in (await s3.list(folder, None, 10)).entries}
    assert found == {f"{folder}both": Kind.FILE, f"{folder}both/": Kind.FOLDER}
    assert (await s3.child(folder, "both")).kind is Kind.FILE
    assert await names(s3, f"{folder}both/") == ["inside"]
    await s3.delete(f"{folder}both")
    assert (await s3.child(folder, "both")).kind is Kind.FOLDER


async def test_folders_that_are_only_implied(s3: FullConnector, other: Any, folder: str) -> None:
    other.put_object(Bucket="plain", Key=f"{folder}a/b/c", Body=b"1")
    assert (await s3.stat(f"{folder}a/")).parent == folder
    assert [e.raw_id for e in (await s3.list(f"{folder}a/", None, 10)).entries] == [f"{folder}a/b/"]
    with pytest.raises(NotEmpty):
        await s3.delete(f"{folder}a/")
    moved = await s3.move(f"{folder}a/", folder, "z")
    assert await whole(s3, f"{moved.raw_id}b/c") == b"1"


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_names_with_control_characters(s3: FullConnector, folder: str, limit: int) -> None:
    given = ["bell\x07", "line\nfeed", "return\r", "tab\t", "\x01", "\x7f", "\x85next", "\ufffe"]
    for name in given:
        await put(s3, folder, name, name.encode())
    assert sorted(await names(s3, folder, limit)) == sorted(given)
    for name in given:
        assert await whole(s3, folder + name) == name.encode()
    await s3.delete(folder, recursive=True)
    with pytest.raises(NotFound):
        await s3.stat(folder)


async def test_a_name_that_is_too_long(s3: FullConnector, folder: str) -> None:
    for name in ("x" * 1024, "ü" * 512, "x" * 300):  # SeaweedFS itself stops at 255
        with pytest.raises(InvalidName):
            await put(s3, folder, name)
    with pytest.raises(InvalidName):
        await s3.mkdir(folder, "\ud800")


async def test_a_listing_says_what_the_store_says(s3: FullConnector, folder: str) -> None:
    entry = await put(s3, folder, "note.txt", b"content")
    assert entry.etag == hashlib.md5(b"content").hexdigest()
    assert entry.raw is not None
    assert entry.raw["etag"] == f'"{entry.etag}"'
    assert "x-amz-request-id" not in entry.raw
    listed = (await s3.list(folder, None, 10)).entries[0]
    assert listed == entry
    assert listed.raw is not None
    assert listed.raw["Key"] == entry.raw_id
    assert listed.raw["StorageClass"] == "STANDARD"


# uploads


async def flowing(size: int, *, then: BaseException | None = None) -> AsyncIterator[bytes]:
    piece = bytes(range(256)) * 1024
    while size > 0:
        yield piece[: min(len(piece), size)]
        size -= len(piece)
    if then is not None:
        raise then


def uploads_left(other: Any, bucket: str = "plain") -> list[Any]:
    found: list[Any] = other.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return found


@pytest.mark.parametrize("before", [None, b"former"])
@pytest.mark.parametrize("size", [None, 20 * MIB], ids=["length unknown", "length known"])
async def test_a_broken_upload_leaves_no_half_object(
    s3: FullConnector, other: Any, folder: str, before: bytes | None, size: int | None
) -> None:
    """Past the first part, and in the middle of a PUT whose length the store was told."""
    if before is not None:
        await put(s3, folder, "file", before)
    broken = flowing(12 * MIB, then=ConnectionAbortedError("the client went away"))
    with pytest.raises(ConnectionAbortedError):
        await s3.write(folder, "file", broken, size=size, replace=before is not None)
    if before is None:
        assert await names(s3, folder) == []
    else:
        assert await whole(s3, f"{folder}file") == before
    assert uploads_left(other) == []


@pytest.mark.parametrize("size", [None, 20 * MIB], ids=["length unknown", "length known"])
async def test_a_cancelled_upload_leaves_no_half_object(
    s3: FullConnector, other: Any, folder: str, size: int | None
) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        async for piece in flowing(12 * MIB):
            yield piece
        begun.set()
        await asyncio.sleep(3600)

    async with asyncio.TaskGroup() as tasks:
        write = tasks.create_task(s3.write(folder, "file", stalling(), size=size, replace=False))
        async with asyncio.timeout(20):
            await begun.wait()
        write.cancel()
    assert await names(s3, folder) == []
    assert uploads_left(other) == []


@pytest.mark.parametrize("verb", REQUESTING.values(), ids=REQUESTING)
async def test_whoever_leaves_at_any_moment_leaves_nothing(
    weed: SeaweedFS, other: Any, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LARGEST_SINGLE", MIB)  # as above 1 GiB, with smaller numbers
    monkeypatch.setattr(trees, "LARGEST_COPY", MIB)  # as above 5 GiB
    monkeypatch.setattr(trees, "COPIED_PART", MIB)

    async def left() -> list[str]:
        return uploads_left(other)

    await leave_at_every_moment(
        lambda: account(weed, prefix=f"left/{secrets.token_hex(6)}").opened(),
        verb,
        lambda s3: s3._bucket._client,
        left,
    )


@pytest.mark.parametrize("declared", [9, 11])
async def test_a_length_that_is_wrong(s3: FullConnector, folder: str, declared: int) -> None:
    with pytest.raises(Unavailable, match="length"):
        await s3.write(folder, "file", pieces(b"0123456789"), size=declared, replace=False)
    assert await names(s3, folder) == []


@pytest.mark.parametrize("wrong", [0, -1, 1])
async def test_a_known_length_in_parts(
    s3: FullConnector, other: Any, folder: str, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above 1 GiB, with smaller numbers."""
    monkeypatch.setattr(uploads, "LARGEST_SINGLE", MIB)
    monkeypatch.setattr(uploads, "STREAMED_PART", 8 * MIB)
    size = 20 * MIB + 7
    write = s3.write(folder, "file", flowing(size), size=size + wrong, replace=False)
    if wrong:
        with pytest.raises(Unavailable, match="length"):
            await write
        assert await names(s3, folder) == []
    else:
        entry = await write
        assert entry.size == size
        assert entry.etag is not None
        assert entry.etag.endswith("-3")
        assert await whole(s3, entry.raw_id, Span(size - 7)) == b"\0\1\2\3\4\5\6"
    assert uploads_left(other) == []


async def test_a_name_taken_while_its_content_was_under_way(
    s3: FullConnector, other: Any, folder: str
) -> None:
    """In one PUT and in parts: the store itself refuses at the end."""

    async def late(size: int) -> AsyncIterator[bytes]:
        async for piece in flowing(size - 1):
            yield piece
        other.put_object(Bucket="plain", Key=f"{folder}file", Body=b"first")
        yield b"."

    for size, known in ((MIB, MIB), (12 * MIB, None)):
        with pytest.raises(AlreadyExists):
            await s3.write(folder, "file", late(size), size=known, replace=False)
        assert await whole(s3, f"{folder}file") == b"first"
        other.put_object(Bucket="plain", Key=f"{folder}file", Body=b"former")
        former = (await s3.stat(f"{folder}file")).etag
        with pytest.raises(PreconditionFailed):
            await s3.write(folder, "file", late(size), size=known, replace=True, etag=former)
        assert await whole(s3, f"{folder}file") == b"first"
        await s3.delete(f"{folder}file")
    assert uploads_left(other) == []


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
async def test_memory_does_not_grow_with_the_file(s3: FullConnector, folder: str, known: bool) -> None:
    size = 256 * MIB
    tracemalloc.start()
    try:
        entry = await s3.write(folder, "large", flowing(size), size=size if known else None, replace=False)
        uploaded = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        read = 0
        async for piece in (await s3.read(entry.raw_id)).chunks:
            read += len(piece)
        downloaded = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == size
    assert uploaded < (8 * MIB if known else 8 * MIB + 12 * MIB)  # a part of 8 MiB is kept
    assert downloaded < 8 * MIB
    await s3.delete(entry.raw_id)


async def test_a_reader_that_leaves_releases_the_store(s3: FullConnector, folder: str) -> None:
    entry = await s3.write(folder, "large", flowing(32 * MIB), size=32 * MIB, replace=False)
    client = cast("S3CompatibleConnector", s3)._bucket._client
    opened = await s3.read(entry.raw_id)
    assert len(client._busy) == 1
    async with aclosing(cast("Any", opened.chunks)) as chunks:
        async for _piece in chunks:
            break
    await until(lambda: not client._busy, within=2)


# copies and trees


async def test_a_large_copy_goes_in_parts(
    s3: FullConnector, other: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above 5 GiB, with smaller numbers: type, metadata and tags go along."""
    monkeypatch.setattr(trees, "LARGEST_COPY", 10 * MIB)
    monkeypatch.setattr(trees, "COPIED_PART", 6 * MIB)
    content = os.urandom(20 * MIB + 1)
    about = {"ContentType": "text/x-test", "Metadata": {"colour": "blue"}}
    other.put_object(Bucket="plain", Key=f"{folder}one", Body=content, **about)
    await s3.set_properties(f"{folder}one", {"kept": "yes"})
    entry = await s3.copy(f"{folder}one", folder, "two")
    assert (entry.size, entry.mime_type) == (len(content), "text/x-test")
    assert entry.raw is not None
    assert entry.raw["x-amz-meta-colour"] == "blue"
    assert await s3.properties(entry.raw_id) == {"kept": "yes"}
    assert hashlib.sha256(await whole(s3, entry.raw_id)).digest() == hashlib.sha256(content).digest()
    with pytest.raises(AlreadyExists):
        await s3.copy(f"{folder}one", folder, "two")
    assert uploads_left(other) == []


@pytest.mark.slow
async def test_a_tree_of_more_keys_than_one_request_takes(s3: FullConnector, folder: str) -> None:
    top = await s3.mkdir(folder, "top")
    inner = await s3.mkdir(top.raw_id, "inner")
    many = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with many:
            await s3.write(inner.raw_id, f"{number}", pieces(b"x"), size=1, replace=False)

    async with asyncio.TaskGroup() as tasks:
        for number in range(1005):
            tasks.create_task(one(number))
    moved = await s3.move(top.raw_id, folder, "moved")
    with pytest.raises(NotFound):
        await s3.stat(top.raw_id)
    assert len(await names(s3, f"{moved.raw_id}inner/")) == 1005
    await s3.delete(moved.raw_id, recursive=True)
    assert await names(s3, folder) == []


async def test_no_folder_goes_into_itself(s3: FullConnector, folder: str) -> None:
    inner = await s3.mkdir(folder, "inner")
    for verb in (s3.move(folder, inner.raw_id, "x"), s3.copy(folder, folder, "x")):
        with pytest.raises(InvalidName, match="itself"):
            await verb
    beside = await s3.copy(inner.raw_id, folder, "inner2")  # only begins alike
    assert beside.kind is Kind.FOLDER


async def test_a_folder_in_the_way_is_never_replaced(s3: FullConnector, folder: str) -> None:
    entry = await put(s3, folder, "file")
    target = await s3.mkdir(folder, "target")
    other_folder = await s3.mkdir(folder, "other")
    for raw_id in (entry.raw_id, other_folder.raw_id):
        with pytest.raises(AlreadyExists):
            await s3.move(raw_id, folder, "target", replace=True)
    assert (await s3.stat(target.raw_id)).kind is Kind.FOLDER
    assert (await s3.move(entry.raw_id, folder, "file", replace=True)).raw_id == entry.raw_id


# versions


async def test_a_deletion_keeps_versions_and_a_purge_does_not(weed: SeaweedFS, other: Any) -> None:
    def versions(prefix: str) -> list[str]:
        found = other.list_object_versions(Bucket="versioned", Prefix=prefix)
        return [one["Key"] for one in found.get("Versions", []) + found.get("DeleteMarkers", [])]

    async with account(weed, bucket="versioned").opened() as opened:
        s3 = cast("FullConnector", opened)
        folder = (await s3.mkdir("", "kept")).raw_id
        for content in (b"1", b"2"):
            await put(s3, folder, "file", content, replace=True)
        await put(s3, folder, "file2")
        await s3.delete(f"{folder}file")
        with pytest.raises(NotFound):
            await s3.stat(f"{folder}file")
        assert versions(f"{folder}file") == [f"{folder}file"] * 2 + [f"{folder}file2", f"{folder}file"]
        await s3.purge(f"{folder}file")  # what was deleted before is purged as well
        assert versions(folder) == [folder, f"{folder}file2"]
        with pytest.raises(NotFound):
            await s3.purge(f"{folder}file")
        with pytest.raises(NotEmpty):
            await s3.purge(folder)
        await put(s3, folder, "file2", b"3", replace=True)
        await s3.purge(folder, recursive=True)
        assert versions(folder) == []
        assert "kept" not in await names(s3, "")


# properties and headers


async def test_properties_leave_the_object_as_it_is(s3: FullConnector, folder: str) -> None:
    entry = await s3.write(folder, "in parts", flowing(9 * MIB), size=None, replace=False)
    assert entry.etag is not None
    assert "-" in entry.etag
    given = {'Grüße <&> "x"': "Wert: 世界 🦊", "Upper": " spaces "}
    assert await s3.set_properties(entry.raw_id, given) == given
    after = await s3.stat(entry.raw_id)
    assert after == entry
    assert await s3.properties((await s3.copy(entry.raw_id, folder, "copied")).raw_id) == given
    with pytest.raises(Unsupported):
        await s3.properties(folder)


async def test_properties_changed_at_the_same_time(s3: FullConnector, folder: str) -> None:
    entry = await put(s3, folder, "file")
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(s3.set_properties(entry.raw_id, {str(number): "x"}))
    assert await s3.properties(entry.raw_id) == {str(number): "x" for number in range(8)}


async def test_the_stores_own_headers_by_the_caller(s3: FullConnector, folder: str) -> None:
    entry = await put(s3.with_headers({"x-amz-meta-Colour": "blue"}), folder, "file")
    found = await s3.stat(entry.raw_id)
    assert found.raw is not None
    assert found.raw["x-amz-meta-colour"] == "blue"


# a second implementation: other code than SeaweedFS's verifies the signatures


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    with rclone_s3(tmp_path_factory.mktemp("rclone"), ACCESS_KEY, "SKrclone", "reports") as server:
        yield server


def rclone_account(server: Rclone, secret: str) -> Store:
    settings = {
        "endpoint": server.url,
        "bucket": "reports",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": secret,
    }
    return Store(S3CompatibleConnector, settings, Direct())


async def test_rclone_accepts_our_signatures(rclone: Rclone) -> None:
    async with rclone_account(rclone, "SKrclone").opened() as opened:
        s3 = cast("FullConnector", opened)
        for name in ("Grüße, 世界+%20&='()!*~.txt", "file"):
            entry = await put(s3, "", name, b"0123456789")
            assert await whole(s3, entry.raw_id) == b"0123456789"
        assert await whole(s3, "file", Span(2, 4)) == b"234"  # answered with 200
        assert await whole(s3, "file", Span(7)) == b"789"
        large = await s3.write("", "large", flowing(9 * MIB), size=None, replace=False)
        assert large.size == 9 * MIB
        assert sorted(await names(s3, "", 1)) == sorted([*os.listdir(rclone.data)])
        copied = await s3.copy("file", "", "copied")
        assert await whole(s3, copied.raw_id) == b"0123456789"
        with pytest.raises(AlreadyExists):  # by our look before: it does not heed If-None-Match
            await put(s3, "", "file")
        await s3.purge("copied")  # it keeps no versions: a plain deletion
        with pytest.raises(NotFound):
            await s3.stat("copied")
    async with rclone_account(rclone, "wrong").opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("")
