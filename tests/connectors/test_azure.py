"""What only Azure Blob Storage has: signatures, tokens, blocks, snapshots, names, and a store that copies."""

import asyncio
import secrets
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from pydantic import ValidationError

from connectors.azure import AzureConnector, uploads
from connectors.azure.settings import AzureSettings
from connectors.azure.signing import SharedKey, string_to_sign
from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import names, pieces, put, whole
from connectors.interface import (
    AlreadyExists,
    BadCredential,
    InvalidName,
    Kind,
    NotFound,
    NotPermitted,
    Part,
    PreconditionFailed,
    Span,
    StoreError,
    Unavailable,
    Unsupported,
)
from connectors.interface.paths import TEMPORARY
from tests.connectors.leaving import REQUESTING, Verb, leave_at_every_moment
from tests.servers.azurite_blob import ACCOUNT, CONTAINER, KEY, Azurite, account_sas, azurite, request
from tests.servers.sshd import free_port

MIB = 1024 * 1024

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
async def azure(server: Azurite, request: pytest.FixtureRequest) -> AsyncIterator[AzureConnector]:
    """An account whose root is a prefix of this test's own."""
    async with store(server.url, prefix=request.node.name.replace("[", "-").strip("]")).opened() as opened:
        yield cast("AzureConnector", opened)


def store(url: str, **more: Any) -> Store:
    credential = {} if "sas_token" in more else {"account_key": KEY}
    settings = {"url": url, "account_name": ACCOUNT, "container": CONTAINER, **credential, **more}
    return Store(AzureConnector, settings, Direct(), idle_timeout=10.0)


def theirs(server: Azurite, azure: AzureConnector, name: str) -> None:
    """An empty blob that another client made."""
    target = f"{CONTAINER}/{azure._container.base}{name}"
    assert request(server, "PUT", target, x_ms_blob_type="BlockBlob") == 201


def snapshot(server: Azurite, azure: AzureConnector, name: str) -> None:
    """A snapshot of a blob, by another client."""
    assert request(server, "PUT", f"{CONTAINER}/{azure._container.base}{name}?comp=snapshot") == 201


# signatures


async def test_a_default_port_that_is_written_out_is_left_out_and_the_signature_holds(
    server: Azurite,
) -> None:
    """Neither Shared Key nor a service SAS signs the Host header."""

    class There(Direct):
        async def connect(self, factory: Any, host: str, port: int, **more: Any) -> Any:
            assert (host, port) == ("127.0.0.1", 80)
            return await super().connect(factory, host, server.port, **more)

    settings = {"account_name": ACCOUNT, "account_key": KEY, "container": CONTAINER, "prefix": "port"}
    url = f"http://127.0.0.1:80/{ACCOUNT}"
    there = Store(AzureConnector, {**settings, "url": url}, There(), idle_timeout=10.0)
    async with there.opened() as opened:
        azure = cast("AzureConnector", opened)
        made = await put(azure, "", "file", b"content")
        assert await whole(azure, (await azure.copy(made.raw_id, "", "copy")).raw_id) == b"content"
        shown = await azure.download_url(made.raw_id, expires=60)
        assert shown.url.startswith(f"http://127.0.0.1/{ACCOUNT}/{CONTAINER}/port/file?")


def test_what_is_signed_is_as_in_the_vendors_example() -> None:
    """Microsoft's page "Authorize with Shared Key", the example of Get Container Metadata."""
    fields = {
        "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT",
        "x-ms-version": "2015-02-21",
        "content-length": "0",
    }
    query = [("restype", "container"), ("comp", "metadata"), ("timeout", "20")]
    assert string_to_sign("myaccount", "GET", "/mycontainer", query, {**fields, "content-length": "0"}) == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\n"
        "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


def test_every_signed_header_has_its_line() -> None:
    """The order of the same page, with a body and conditions."""
    fields = {
        "if-none-match": "*",
        "range": "bytes=0-1",
        "content-type": "text/plain",
        "content-length": "11",
        "x-ms-meta-m2": "a  b",
        "x-ms-meta-m1": " v1 ",
        "x-trace": "no part of it",
    }
    assert string_to_sign("myaccount", "PUT", "/c/hello%20world", [], fields) == (
        "PUT\n\n\n11\n\ntext/plain\n\n\n\n*\n\nbytes=0-1\n"
        "x-ms-meta-m1:v1\nx-ms-meta-m2:a b\n/myaccount/c/hello%20world"
    )


def test_a_signature_is_an_hmac_of_that() -> None:
    """HMAC-SHA256 with the key's bytes; the value is OpenSSL's."""
    header = SharedKey("myaccount", "c2VjcmV0").authorization("GET", "/c", [], {})
    # printf 'GET\n\n\n\n\n\n\n\n\n\n\n\n/myaccount/c' | openssl dgst -sha256 -hmac secret -binary | base64
    assert header == "SharedKey myaccount:huONoy5KcAq5ueHoWupzIASVm8My8QdP+JbyH0Hs7qc="


# settings


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"account_key": KEY, "sas_token": account_sas()},
        {"account_key": "SECRET no base64!"},
        {"sas_token": "sv=SECRET"},
        {"account_key": KEY, "container": "Upper"},
        {"account_key": KEY, "container": "a--b"},
        {"account_key": KEY, "url": "files.example"},
        {"account_key": KEY, "url": "https://h/?sig=SECRET"},
        {"account_key": KEY, "prefix": "a//b"},
        {"account_key": KEY, "account_name": "evil.example/"},
        {"account_key": KEY, "ca": "no certificate"},
    ],
)
def test_settings_that_can_not_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as told:
        AzureSettings.model_validate({"account_name": "acct", "container": "files", **wrong})
    assert "SECRET" not in str(told.value)
    assert KEY not in str(told.value)


def test_where_an_account_is() -> None:
    settings = AzureSettings.model_validate(
        {"account_name": "acct", "container": "files", "prefix": "/a/b/", "sas_token": "?sv=1&sig=x"}
    )
    assert settings.endpoint() == "https://acct.blob.core.windows.net"
    assert (settings.path(), settings.display_name()) == ("/files", "acct/files/a/b")


def test_an_id_as_people_write_it() -> None:
    assert AzureConnector.normal_id("/docs", Kind.FOLDER) == "docs/"
    assert AzureConnector.normal_id("/docs/", Kind.FILE) == "docs"
    assert AzureConnector.normal_id("/", Kind.FOLDER) == ""


# who may what


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"account_key": "d3Jvbmcga2V5"}, BadCredential),
        ({"sas_token": account_sas(expiry="2020-01-01T00:00:00Z")}, BadCredential),
        ({"sas_token": account_sas().replace("sig=", "sig=AAAA")}, BadCredential),
        ({"sas_token": account_sas("d")}, NotPermitted),
        ({"container": "missing"}, NotFound),
    ],
)
async def test_an_account_that_is_not_let_in(
    server: Azurite, wrong: dict[str, str], error: type[StoreError]
) -> None:
    async with store(server.url, **wrong).opened() as azure:
        for verb in (azure.stat(""), azure.list("", None, 9), azure.stat("x"), put(azure, "", "x")):
            with pytest.raises(error) as told:
                await verb
            assert "sig" not in str(told.value)
            assert "127.0.0.1" not in str(told.value)


async def test_a_token_that_may_only_read(server: Azurite, azure: AzureConnector) -> None:
    entry = await put(azure, "", "file", b"bytes")
    prefix = azure._container.base
    async with store(server.url, prefix=prefix, sas_token=account_sas("rl")).opened() as reader:
        assert await whole(reader, "file") == b"bytes"
        for verb in (put(reader, "", "other"), reader.delete("file")):
            with pytest.raises(NotPermitted):
                await verb
    assert await azure.stat("file") == entry


async def test_a_store_that_is_not_there() -> None:
    async with store(f"http://127.0.0.1:{free_port()}/{ACCOUNT}").opened() as azure:
        with pytest.raises(Unavailable) as told:
            await azure.stat("")
    assert "127.0.0.1" not in str(told.value)


# names


async def test_a_folder_and_a_file_of_one_name(server: Azurite, azure: AzureConnector) -> None:
    for name in ("both", "both/below", "implied/deep/file", "marked/"):
        theirs(server, azure, name)
    found = {entry.raw_id: entry.kind for entry in (await azure.list("", None, 99)).entries}
    folder, file = Kind.FOLDER, Kind.FILE
    assert found == {"both": file, "both/": folder, "implied/": folder, "marked/": folder}
    assert (await azure.stat("implied/deep/")).parent == "implied/"
    assert await names(azure, "marked/") == []
    assert (await azure.child("", "both")).kind is file
    assert (await azure.child("implied/", "deep")).raw_id == "implied/deep/"
    await azure.delete("both")
    assert (await azure.child("", "both")).raw_id == "both/"


async def test_blobs_that_no_id_can_name_are_left_out(server: Azurite, azure: AzureConnector) -> None:
    for name in ("a//b", "a/", "../up", "x/./y", "x/good", ".isthmus-1", "good"):
        theirs(server, azure, name)
    assert await names(azure, "") == ["a", "good", "x"]
    assert await names(azure, "a/") == []
    assert await names(azure, "x/") == ["good"]
    assert [entry.raw_id for entry in (await azure.tree("", None, 99)).entries] == ["good", "x/good"]


@pytest.mark.parametrize("name", ["back\\slash", "dot at its end.", "line\nfeed", "\x7f", "n" * 1025])
async def test_names_that_azure_would_change(azure: AzureConnector, name: str) -> None:
    with pytest.raises(InvalidName):
        await put(azure, "", name)


# writing


@pytest.mark.parametrize("known", [True, False])
async def test_a_large_file_goes_in_blocks(azure: AzureConnector, known: bool) -> None:
    content = bytes(range(256)) * (40 * 1024)  # 10 MiB
    entry = await put(azure, "", "large.txt", content, size=len(content) if known else None)
    assert (entry.size, entry.mime_type) == (len(content), "text/plain")
    assert await whole(azure, "large.txt") == content


@pytest.mark.parametrize("declared", [MIB, 2 * MIB, 3 * MIB])
@pytest.mark.parametrize("sent", [0, MIB - 1, 2 * MIB + 1])
async def test_another_length_than_declared_is_no_file(
    azure: AzureConnector, declared: int, sent: int
) -> None:
    with pytest.raises(Unavailable, match="another length"):
        await azure.write("", "file", pieces(b"x" * sent), size=declared, replace=False)
    with pytest.raises(NotFound):
        await azure.stat("file")


async def test_a_name_that_is_taken_while_blocks_go_up(azure: AzureConnector) -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b"a" * 5 * MIB
        await put(azure, "", "name", b"first")
        yield b"b" * 5 * MIB

    with pytest.raises(AlreadyExists):
        await azure.write("", "name", late(), size=None, replace=False)
    assert await whole(azure, "name") == b"first"


async def test_a_version_that_changes_while_blocks_go_up(azure: AzureConnector) -> None:
    before = await put(azure, "", "name", b"first")

    async def late() -> AsyncIterator[bytes]:
        yield b"a" * 5 * MIB
        await put(azure, "", "name", b"second", replace=True)
        yield b"b" * 5 * MIB

    with pytest.raises(PreconditionFailed):
        await azure.write("", "name", late(), size=None, replace=True, etag=before.etag)
    assert await whole(azure, "name") == b"second"


async def test_of_two_uploads_in_parts_the_first_to_complete_wins(azure: AzureConnector) -> None:
    """Committing drops the other's blocks: it is told, and can begin again."""
    first = await azure.begin_upload("", "name", size=None, replace=True)
    second = await azure.begin_upload("", "name", size=None, replace=True)
    parts = {}
    for upload, content in ((first, b"first"), (second, b"second")):
        tag = await azure.write_part(upload.state, 1, pieces(content), size=len(content))
        parts[upload.state] = [Part(1, len(content), tag)]
    await azure.complete_upload(second.state, parts[second.state])
    with pytest.raises(NotFound, match="came first"):
        await azure.complete_upload(first.state, parts[first.state])
    assert await whole(azure, "name") == b"second"
    await azure.abandon_upload(first.state)
    assert [entry.raw_id for entry in (await azure.tree("", None, 9)).entries] == ["name"]
    assert await azure._container.first_below(azure._container.base + ".isthmus-") is None


async def test_a_folder_that_goes_takes_the_uploads_into_it_along(azure: AzureConnector) -> None:
    folder = await azure.mkdir("", "folder")
    upload = await azure.begin_upload(folder.raw_id, "name", size=None, replace=False)
    await azure.delete(folder.raw_id)
    with pytest.raises(NotFound):
        await azure.write_part(upload.state, 1, pieces(b"x"), size=1)
    with pytest.raises(NotFound):
        await azure.stat(folder.raw_id)


def test_fifty_thousand_blocks_are_enough() -> None:
    largest = 190 * 1024**4  # TiB: Azure's own limit, in blocks of 4,000 MiB
    for size in (1, 8 * MIB * 50_000, 8 * MIB * 50_000 + 1, largest):
        assert uploads.part_size(size) * uploads.MOST_BLOCKS >= size
    assert uploads.part_size(largest) <= 4_000 * MIB
    assert sum(map(uploads.held_block, range(1, uploads.MOST_BLOCKS + 1))) > 7 * 10**12
    assert {len(uploads.block_id("0" * 32, number)) for number in (1, 99, 50_000)} == {52}


# other verbs


async def test_snapshots_go_only_when_a_file_is_purged(server: Azurite, azure: AzureConnector) -> None:
    await put(azure, "", "file")
    await put(azure, "", "file too")
    snapshot(server, azure, "file")
    assert await names(azure, "") == ["file", "file too"]
    with pytest.raises(NotPermitted, match="snapshots"):
        await azure.delete("file")
    await azure.purge("file")
    assert await names(azure, "") == ["file too"]


async def test_a_purged_folder(server: Azurite, azure: AzureConnector) -> None:
    below = await azure.mkdir((await azure.mkdir("", "folder")).raw_id, "below")
    await put(azure, below.raw_id, "file")
    snapshot(server, azure, "folder/below/file")
    await azure.purge("folder/", recursive=True)
    assert await azure._container.first_below(azure._container.base) is None


async def test_tags_follow_a_copy_and_a_move(azure: AzureConnector) -> None:
    await put(azure, "", "one")
    await azure.set_properties("one", {"colour": "blau & weiß", "none": ""})
    await azure.copy("one", "", "two")
    await azure.move("two", "", "three")
    assert await azure.properties("three") == {"colour": "blau & weiß", "none": ""}
    with pytest.raises(InvalidName, match="10"):
        await azure.set_properties("one", {str(number): "" for number in range(11)})


async def test_a_moved_folder_leaves_nothing_behind(azure: AzureConnector) -> None:
    folder = await azure.mkdir("", "from")
    for number in range(20):
        await put(azure, folder.raw_id, f"{number:02}", b"%d" % number)
    await azure.move("from/", "", "to")
    assert await names(azure, "") == ["to"]
    assert await names(azure, "to/") == [f"{number:02}" for number in range(20)]
    with pytest.raises(InvalidName):
        await azure.move("to/", "to/", "into itself")


async def test_headers_of_the_callers_own_are_signed(azure: AzureConnector) -> None:
    other = azure.with_headers({"X-Ms-Meta-Origin": "a test", "X-Trace": "1"})
    entry = await put(other, "", "file", b"bytes")
    assert cast("dict[str, str]", (await azure.stat(entry.raw_id)).raw)["x-ms-meta-origin"] == "a test"
    for name in ("Authorization", "x-ms-date", "X-Ms-Version", "If-Match", "x-ms-copy-source", "a b"):
        with pytest.raises(Unsupported):
            azure.with_headers({name: "x"})


async def test_an_entry_is_the_same_listed_and_looked_at(azure: AzureConnector) -> None:
    entry = await put(azure, "", "note.txt", b"bytes")
    assert (await azure.list("", None, 9)).entries == [entry] == [await azure.stat("note.txt")]
    assert entry.created is not None
    assert entry.modified is not None


# content


async def test_a_reader_that_leaves_gives_the_connection_up_at_once(azure: AzureConnector) -> None:
    await put(azure, "", "file", b"x" * 8 * MIB)
    opened = await azure.read("file")
    async with aclosing(opened.chunks) as chunks:
        await anext(aiter(chunks))
        assert len(azure._container._client._busy) == 1
    assert not azure._container._client._busy
    assert await whole(azure, "file", Span(8 * MIB - 2)) == b"xx"


async def test_a_cancelled_upload_gives_the_connection_up_at_once(azure: AzureConnector) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        begun.set()
        await asyncio.sleep(3600)

    async with asyncio.TaskGroup() as tasks:
        write = tasks.create_task(azure.write("", "file", endless(), size=5 * MIB, replace=False))
        await begun.wait()
        write.cancel()
    assert not azure._container._client._busy
    assert await names(azure, "") == []


@pytest.mark.parametrize("verb", REQUESTING.values(), ids=REQUESTING)
async def test_whoever_leaves_at_any_moment_leaves_nothing(
    server: Azurite, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that nobody commits are the store's own to drop."""
    monkeypatch.setattr(uploads, "_STREAMED_BLOCK", MIB)
    top = f"left-{secrets.token_hex(6)}"
    async with store(server.url, prefix=top).opened() as opened:
        every = cast("AzureConnector", opened)._container

        async def left() -> list[str]:
            found = [blob.name async for page in every.pages(f"{top}/") for blob in page]
            return [name for name in found if TEMPORARY in name]

        await leave_at_every_moment(
            lambda: store(server.url, prefix=f"{top}/{secrets.token_hex(6)}").opened(),
            verb,
            lambda azure: azure._container._client,
            left,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("known", "bound"), [(True, 6), (False, 14)])
async def test_memory_does_not_grow_with_the_file(azure: AzureConnector, known: bool, bound: int) -> None:
    """256 MiB both ways. An unknown length costs the one block that is held."""
    size = 256 * MIB
    piece = bytes(256 * 1024)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield bytes(piece)

    await azure.stat("")
    tracemalloc.start()
    try:
        entry = await azure.write("", "large", source(), size=size if known else None, replace=False)
        assert entry.size == size
        assert tracemalloc.get_traced_memory()[1] < bound * MIB
        tracemalloc.reset_peak()
        read = 0
        async for got in (await azure.read("large")).chunks:
            read += len(got)
        assert read == size
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB
    finally:
        tracemalloc.stop()
