"""What only Google Cloud Storage has, on a real fake-gcs-server."""

import asyncio
import gzip
import hashlib
import os
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import pytest_asyncio

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, names, pieces, put, whole
from connectors.gcs import GcsConnector
from connectors.interface import (
    AlreadyExists,
    InvalidName,
    Kind,
    NotAFolder,
    NotEmpty,
    NotFound,
    Span,
    Unavailable,
    Unsupported,
    UntrustedHost,
)
from tests.gateway.tunnel.tunnels import certified, until
from tests.servers.fake_gcs import FakeGcs, fake_gcs
from tests.servers.sshd import free_port

pytestmark = pytest.mark.server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeGcs]:
    with fake_gcs("plain") as server:
        yield server


def account(endpoint: str, **settings: Any) -> Store:
    return Store(
        GcsConnector, {"endpoint": endpoint, "bucket": "plain", **settings}, Direct(), idle_timeout=30.0
    )


@pytest_asyncio.fixture
async def gcs(emulator: FakeGcs) -> AsyncIterator[FullConnector]:
    async with account(emulator.endpoint).opened() as connector:
        yield cast("FullConnector", connector)


@pytest_asyncio.fixture
async def folder(gcs: FullConnector) -> AsyncIterator[str]:
    made = await gcs.mkdir("", f"test-{os.urandom(6).hex()}")
    yield made.raw_id
    await gcs.delete(made.raw_id, recursive=True)


def put_raw(server: FakeGcs, name: str, content: bytes = b"x", encoding: str = "") -> None:
    """An object as another program makes it."""
    query = f"uploadType=media&name={quote(name, safe='')}&contentEncoding={encoding}"
    url = f"{server.endpoint}/upload/storage/v1/b/plain/o?{query}"
    with urllib.request.urlopen(urllib.request.Request(url, content, method="POST"), timeout=10):
        pass


async def flowing(size: int) -> AsyncIterator[bytes]:
    piece = os.urandom(128 * 1024)
    for _ in range(size // len(piece)):
        yield piece


# names


async def test_folders_are_implied_by_objects(gcs: FullConnector, emulator: FakeGcs, folder: str) -> None:
    put_raw(emulator, f"{folder}a/b/file")
    listed = (await gcs.list(folder, None, 10)).entries
    assert [(e.raw_id, e.kind) for e in listed] == [(f"{folder}a/", Kind.FOLDER)]
    assert listed[0] == await gcs.stat(f"{folder}a/")
    assert (await gcs.child(f"{folder}a/", "b")).raw_id == f"{folder}a/b/"
    with pytest.raises(NotEmpty):
        await gcs.delete(f"{folder}a/")
    with pytest.raises(NotFound):
        await gcs.stat(f"{folder}a")
    await gcs.delete(f"{folder}a/b/file")
    with pytest.raises(NotFound):  # as the page says: an implied folder goes with its last file
        await gcs.stat(f"{folder}a/")


async def test_a_file_and_a_folder_of_one_name(gcs: FullConnector, emulator: FakeGcs, folder: str) -> None:
    put_raw(emulator, f"{folder}same", b"file")
    put_raw(emulator, f"{folder}same/inside", b"inside")
    put_raw(emulator, f"{folder}same-", b"between the two, by name")
    for limit in (1, 2, 10):
        assert await names(gcs, folder, limit) == ["same", "same-", "same"]
    assert (await gcs.child(folder, "same")).kind is Kind.FILE
    await gcs.delete(f"{folder}same")
    assert (await gcs.child(folder, "same")).raw_id == f"{folder}same/"
    assert await whole(gcs, f"{folder}same/inside") == b"inside"


async def test_objects_that_no_path_can_name(gcs: FullConnector, emulator: FakeGcs, folder: str) -> None:
    """Not shown, but gone with the folder that they are in."""
    odd = ["a//b", "./c", "../d", "e/../f", "//", "g/."]
    for name in ["good", *odd]:
        put_raw(emulator, folder + name)
    assert await names(gcs, folder) == ["a", "e", "g", "good"]
    assert await names(gcs, f"{folder}a/") == []
    assert [entry.raw_id for entry in (await gcs.tree(folder, None, 50)).entries] == [f"{folder}good"]
    moved = await gcs.move(folder, "", "moved")
    assert await names(gcs, "moved/") == ["a", "e", "g", "good"]
    await gcs.delete(moved.raw_id, recursive=True)
    await gcs.mkdir("", folder.rstrip("/"))


async def test_names_that_the_store_refuses(gcs: FullConnector, folder: str) -> None:
    longest = 1023 - len(folder)
    for name in ("a\nb", "a\rb", "\udc80", "n" * (longest + 1), "ü" * (longest // 2 + 1)):
        with pytest.raises(InvalidName):
            await put(gcs, folder, name)
        with pytest.raises(InvalidName):
            await gcs.mkdir(folder, name)
    with pytest.raises(NotFound):
        await gcs.stat("\udc80")
    await put(gcs, folder, "n" * longest)
    assert await names(gcs, folder) == ["n" * longest]


def test_ids_as_people_write_them() -> None:
    assert (
        GcsConnector.normal_id("/docs/", Kind.FOLDER)
        == GcsConnector.normal_id("docs", Kind.FOLDER)
        == "docs/"
    )
    assert GcsConnector.normal_id("/docs/", Kind.FILE) == "docs"
    assert GcsConnector.normal_id("/", Kind.FOLDER) == ""


async def test_a_folder_stays_out_of_itself(gcs: FullConnector, folder: str) -> None:
    below = await gcs.mkdir(folder, "below")
    for verb in (gcs.move, gcs.copy):
        with pytest.raises(InvalidName):
            await verb(folder, below.raw_id, "x")
    with pytest.raises(AlreadyExists):
        await gcs.move(below.raw_id, folder, "below")
    assert await gcs.move(below.raw_id, folder, "below", replace=True) == below


async def test_a_folder_is_never_replaced(gcs: FullConnector, folder: str) -> None:
    for name in ("one", "two"):
        await put(gcs, (await gcs.mkdir(folder, name)).raw_id, "file")
    entry = await put(gcs, folder, "file")
    for source in (f"{folder}one/", entry.raw_id):
        with pytest.raises(AlreadyExists):
            await gcs.move(source, folder, "two", replace=True)
    with pytest.raises(NotAFolder):
        await put(gcs, entry.raw_id, "below")
    with pytest.raises(Unsupported):
        await gcs.properties(f"{folder}one/")
    with pytest.raises(NotAFolder):
        await gcs.list(entry.raw_id, None, 5)


# listings


async def test_pages_of_files_and_folders(gcs: FullConnector, emulator: FakeGcs, folder: str) -> None:
    expected = [f"{number:02}" for number in range(30)]
    for number, name in enumerate(expected):
        put_raw(emulator, folder + name + ("/x" if number % 3 else ""))
    for limit in (1, 2, 7, 29, 30, 31):
        assert await names(gcs, folder, limit) == expected


async def test_a_page_goes_on_where_its_last_entry_was(
    gcs: FullConnector, emulator: FakeGcs, folder: str
) -> None:
    for name in ("a", "b/x", "c", "d/x", "e"):
        put_raw(emulator, folder + name)
    page = await gcs.list(folder, None, 2)
    await gcs.delete(f"{folder}b/", recursive=True)
    await gcs.delete(f"{folder}c")
    put_raw(emulator, f"{folder}aa")
    rest = await gcs.list(folder, page.next_cursor, 10)
    assert [e.name for e in [*page.entries, *rest.entries]] == ["a", "b", "d", "e"]
    assert rest.next_cursor is None


async def test_a_tree_goes_on_in_pages(gcs: FullConnector, emulator: FakeGcs, folder: str) -> None:
    wanted = [f"{folder}{name}" for name in ("a", "b/c/d", "b/e", "b/f", "g/")]
    for name in wanted:
        put_raw(emulator, name)
    found, cursor = [], None
    while True:
        page = await gcs.tree(folder, cursor, 2)
        found += [entry.raw_id for entry in page.entries]
        if (cursor := page.next_cursor) is None:
            break
    assert found == wanted[:-1]
    with pytest.raises(NotFound):
        await gcs.tree(f"{folder}nothing/", None, 2)


# content


async def test_a_packed_object_is_read_as_it_is_stored(
    gcs: FullConnector, emulator: FakeGcs, folder: str
) -> None:
    """Without Accept-Encoding: gzip the store unpacks it, whatever the size and the span."""
    packed = gzip.compress(os.urandom(1000) + b"text " * 10_000)
    put_raw(emulator, f"{folder}text.gz", packed, "gzip")
    entry = await gcs.stat(f"{folder}text.gz")
    assert entry.size == len(packed)
    assert await whole(gcs, entry.raw_id) == packed
    assert await whole(gcs, entry.raw_id, Span(5, 20)) == packed[5:21]


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
async def test_memory_does_not_grow_with_the_file(gcs: FullConnector, folder: str, known: bool) -> None:
    size = 208 * MIB
    tracemalloc.start()
    try:
        entry = await gcs.write(folder, "large", flowing(size), size=size if known else None, replace=False)
        uploaded = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        read = 0
        async for piece in (await gcs.read(entry.raw_id)).chunks:
            read += len(piece)
        downloaded = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert entry.size == read == size
    assert uploaded < (8 * MIB if known else 8 * MIB + 12 * MIB)  # a piece of 8 MiB is kept
    assert downloaded < 8 * MIB
    await gcs.delete(entry.raw_id)


async def test_many_pieces_make_the_file(gcs: FullConnector, folder: str) -> None:
    for size in (8 * MIB, 8 * MIB + 1, 20 * MIB + 17):
        content = os.urandom(size)
        entry = await gcs.write(folder, "file", pieces(content, 1_000_001), size=None, replace=True)
        assert entry.size == size
        assert hashlib.sha256(await whole(gcs, entry.raw_id)).digest() == hashlib.sha256(content).digest()


async def test_a_reader_that_leaves_releases_the_store(gcs: FullConnector, folder: str) -> None:
    entry = await gcs.write(folder, "large", flowing(32 * MIB), size=32 * MIB, replace=False)
    client = cast("GcsConnector", gcs)._bucket._client
    opened = await gcs.read(entry.raw_id)
    assert len(client._busy) == 1
    async with aclosing(cast("Any", opened.chunks)) as chunks:
        async for _piece in chunks:
            break
    await until(lambda: not client._busy, within=2)


async def test_a_reader_that_is_slow_stops_the_store(gcs: FullConnector, folder: str) -> None:
    entry = await gcs.write(folder, "large", flowing(32 * MIB), size=32 * MIB, replace=False)
    client = cast("GcsConnector", gcs)._bucket._client
    opened = await gcs.read(entry.raw_id)
    (connection,) = client._busy
    await anext(aiter(opened.chunks))
    await until(lambda: connection._paused)
    assert connection._buffered < MIB
    await cast("Any", opened.chunks).aclose()


@pytest.mark.parametrize("size", [40 * MIB, None], ids=["length known", "length unknown"])
async def test_a_cancelled_upload_ends_at_once(gcs: FullConnector, folder: str, size: int | None) -> None:
    await put(gcs, folder, "file", b"former")
    begun = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        async for piece in flowing(20 * MIB):
            yield piece
        begun.set()
        await asyncio.sleep(3600)

    async with asyncio.TaskGroup() as tasks:
        upload = tasks.create_task(gcs.write(folder, "file", waiting(), size=size, replace=True))
        async with asyncio.timeout(20):
            await begun.wait()
        upload.cancel()
        async with asyncio.timeout(2):
            await asyncio.wait([upload])
    assert upload.cancelled()
    assert cast("GcsConnector", gcs)._bucket._client._busy == set()
    assert await whole(gcs, f"{folder}file") == b"former"


# the way to the store


async def test_our_own_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    made = certified(tmp_path, "localhost")
    with fake_gcs("plain", certificates=tmp_path) as server:
        async with account(server.endpoint, ca=made.ca_file.read_text()).opened() as connector:
            entry = await put(connector, "", "over tls", b"content")
            assert await whole(connector, entry.raw_id) == b"content"
        async with account(server.endpoint).opened() as connector:
            with pytest.raises(UntrustedHost, match="certificate"):
                await connector.stat("")


async def test_a_store_that_is_not_there() -> None:
    async with account(f"http://127.0.0.1:{free_port()}").opened() as connector:
        with pytest.raises(Unavailable) as told:
            await connector.stat("")
        assert "127.0.0.1" not in str(told.value)


async def test_a_bucket_that_is_not_there(emulator: FakeGcs) -> None:
    async with account(emulator.endpoint, bucket="another").opened() as connector:
        for verb in (connector.stat(""), connector.list("", None, 5), put(connector, "", "file")):
            with pytest.raises(NotFound):
                await verb


async def test_nobody_signs_no_url(gcs: FullConnector, folder: str) -> None:
    entry = await put(gcs, folder, "file")
    for verb in (gcs.download_url(entry.raw_id, expires=60), gcs.upload_url(folder, "new", expires=60)):
        with pytest.raises(Unsupported, match="credentials"):
            await verb
