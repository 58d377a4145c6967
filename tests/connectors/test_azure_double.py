"""What Azure does and Azurite can't be made to do, by a double: a server that answers from a script."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from connectors.azure import AzureConnector, documents
from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import put, whole
from connectors.interface import (
    AlreadyExists,
    BadAnswer,
    BadCredential,
    BadSpan,
    InvalidName,
    NotFound,
    NotPermitted,
    OutOfSpace,
    PreconditionFailed,
    Span,
    StoreError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)

TOKEN = "sv=2021-12-02&sig=SECRET"


def answer(status: int, code: str = "", body: bytes = b"", **headers: str) -> bytes:
    """An answer; headers are given as `x_ms_copy_id`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    fields |= {"content-length": str(len(body)), **({"x-ms-error-code": code} if code else {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + body


def listing(*blobs: str, marker: str = "") -> bytes:
    inner = "".join(blobs)
    body = f"<EnumerationResults><Blobs>{inner}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    return answer(200, body=b"\xef\xbb\xbf" + body.encode())  # Azure's begins with a byte order mark


def blob(name: str, inside: str = "", encoded: bool = False) -> str:
    mark = ' Encoded="true"' if encoded else ""
    return f"<Blob><Name{mark}>{name}</Name>{inside}<Properties><Etag>1</Etag></Properties></Blob>"


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[tuple[AzureConnector, list[str]]]:
    """An account whose store gives these answers, one a request; and what it was asked, without its token."""
    left, asked = list(answers), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked.append(" ".join(head.split()[:2]).removesuffix(TOKEN).rstrip("?&"))
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.split(":")[1]))
                writer.write(left.pop(0))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    double = await asyncio.start_server(serve, "127.0.0.1")
    port = double.sockets[0].getsockname()[1]
    settings = {
        "url": f"http://127.0.0.1:{port}",
        "account_name": "acct",
        "container": "files",
        "sas_token": TOKEN,
    }
    try:
        async with Store(AzureConnector, settings, Direct(), idle_timeout=0.5).opened() as opened:
            yield cast("AzureConnector", opened), asked
    finally:
        double.close()


# refusals


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AuthenticationFailed", BadCredential),
        (403, "AuthorizationFailure", NotPermitted),
        (403, "AuthorizationPermissionMismatch", NotPermitted),
        (403, "KeyBasedAuthenticationNotPermitted", BadCredential),
        (404, "BlobNotFound", NotFound),
        (404, "ContainerNotFound", NotFound),
        (409, "BlobAlreadyExists", AlreadyExists),
        (409, "BlobArchived", NotPermitted),
        (409, "BlobImmutableDueToPolicy", NotPermitted),
        (412, "ConditionNotMet", PreconditionFailed),
        (412, "LeaseIdMissing", NotPermitted),
        (400, "InvalidResourceName", InvalidName),
        (416, "InvalidRange", BadSpan),
        (413, "RequestBodyTooLarge", OutOfSpace),
        (503, "ServerBusy", Throttled),
        (500, "OperationTimedOut", TimedOut),
        (500, "InternalError", Unavailable),
        (409, "NobodyKnows", PreconditionFailed),
        (418, "NobodyKnows", BadAnswer),
        (403, "", NotPermitted),
        (502, "", Unavailable),
        (302, "", BadAnswer),
    ],
)
async def test_a_refusal_is_what_its_code_says(status: int, code: str, error: type[StoreError]) -> None:
    refused = answer(status, code, b"<html>SECRET</html>", location="http://elsewhere/")
    async with scripted(*[refused] * 3) as (azure, _):
        with pytest.raises(error) as told:
            await azure.read("x")
        assert "SECRET" not in str(told.value)
        assert "127.0.0.1" not in str(told.value)


async def test_a_code_that_is_only_in_the_body() -> None:
    body = b"<?xml version='1.0'?><Error><Code>BlobArchived</Code><Message>...</Message></Error>"
    async with scripted(answer(409, body=body)) as (azure, _):
        with pytest.raises(NotPermitted, match="archived"):
            await azure.read("x")


async def test_a_busy_store_is_asked_again_and_its_wish_passed_on() -> None:
    busy = answer(503, "ServerBusy", retry_after="7")
    async with scripted(busy, busy, answer(200, body=b"bytes", etag='"1"')) as (azure, asked):
        assert await whole(azure, "x") == b"bytes"
        assert asked == ["GET /files/x"] * 3
    async with scripted(busy, busy, busy) as (azure, _):
        with pytest.raises(Throttled) as told:
            await azure.read("x")
        assert told.value.retry_after == 7


async def test_writes_are_sent_once() -> None:
    none, busy = answer(404, "BlobNotFound"), answer(503, "ServerBusy")
    async with scripted(listing(), none, busy) as (azure, asked):
        with pytest.raises(Throttled):
            await put(azure, "", "x")
    assert asked[-1] == "PUT /files/x"
    assert len(asked) == 3


async def test_a_download_that_is_cut_is_no_end() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123"
    async with scripted(cut) as (azure, _):
        with pytest.raises(Unavailable):
            await whole(azure, "x")


async def test_another_span_than_was_asked_for() -> None:
    async with scripted(answer(200, body=b"0123456789")) as (azure, _):
        with pytest.raises(BadAnswer, match="span"):
            await azure.read("x", Span(2, 4))


# listings


async def test_pages_may_be_empty_and_go_on() -> None:
    async with scripted(
        listing(marker="2"), listing(blob("f/")), listing(marker="2"), listing(blob("f/a"))
    ) as (azure, asked):
        assert (await azure.stat("f/")).raw_id == "f/"
        page = await azure.list("f/", None, 9)
        assert (page.entries, page.next_cursor) == ([], "2")
        assert [entry.name for entry in (await azure.list("f/", "2", 9)).entries] == ["a"]
    assert "marker=2" in asked[1]
    assert "marker=2" in asked[3]


async def test_names_that_xml_can_not_hold() -> None:
    async with scripted(listing(blob("odd%EF%BF%BEname", encoded=True), blob("per%20cent"))) as (azure, _):
        assert [entry.name for entry in (await azure.list("", None, 9)).entries] == [
            "odd\ufffename",
            "per%20cent",
        ]


@pytest.mark.parametrize(
    "body",
    [
        b"no xml",
        b"<Other/>",
        b"<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>",
        b'<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><EnumerationResults>&b;</EnumerationResults>',
    ],
)
def test_listings_that_are_none(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        documents.listing(body)


# copies that the store makes in its own time

FOUND = answer(200, etag='"s"')
PENDING = answer(202, x_ms_copy_id="7", x_ms_copy_status="pending")


def copying(status: str, progress: str = "1/9", copy: str = "7") -> bytes:
    return answer(200, etag='"t"', x_ms_copy_id=copy, x_ms_copy_status=status, x_ms_copy_progress=progress)


BEFORE = [FOUND, listing(), answer(404, "BlobNotFound")]  # the source; nothing at the target


async def test_a_copy_is_waited_for() -> None:
    script = [*BEFORE, FOUND, PENDING, copying("pending"), copying("pending", "5/9"), copying("success")]
    async with scripted(*script, copying("success")) as (azure, asked):
        assert (await azure.copy("source", "", "target")).etag == "t"
    assert asked[4:] == ["PUT /files/target", *["HEAD /files/target"] * 4]


@pytest.mark.parametrize(("status", "error"), [("failed", Unavailable), ("pending", TimedOut)])
async def test_a_copy_that_fails_or_stands_still_leaves_nothing(status: str, error: type[StoreError]) -> None:
    tries = 1 if status == "failed" else 4  # at 0, 0.1, 0.3 and 0.7 s: more than 0.5 s after the first
    script = [*BEFORE, FOUND, PENDING, *[copying(status)] * tries]
    async with scripted(*script, answer(204), copying("aborted"), answer(202)) as (azure, asked):
        with pytest.raises(error):
            await azure.copy("source", "", "target")
    assert asked[-3:] == [
        "PUT /files/target?comp=copy&copyid=7",
        "HEAD /files/target",
        "DELETE /files/target",
    ]


async def test_a_target_that_changed_while_a_copy_ran_is_left_alone() -> None:
    async with scripted(*BEFORE, FOUND, PENDING, copying("success", copy="8")) as (azure, asked):
        with pytest.raises(PreconditionFailed):
            await azure.copy("source", "", "target")
    assert asked[-1] == "HEAD /files/target"


async def test_a_cancelled_copy_leaves_nothing() -> None:
    script = [*BEFORE, FOUND, PENDING, copying("pending"), answer(204), copying("aborted"), answer(202)]
    async with scripted(*script) as (azure, asked), asyncio.TaskGroup() as tasks:
        copy = tasks.create_task(azure.copy("source", "", "target"))
        async with asyncio.timeout(5):
            while len(asked) < 6:
                await asyncio.sleep(0.01)
        copy.cancel()
        await asyncio.wait([copy])
        assert copy.cancelled()
    assert asked[-1] == "DELETE /files/target"


# versions


def version(name: str, number: str) -> str:
    return blob(name, f"<VersionId>{number}</VersionId>")


async def test_a_purge_deletes_every_version_of_a_file_and_of_no_other() -> None:
    gone = answer(202)
    versions = listing(version("f", "1"), version("f", "2"), version("f2", "3"))
    async with scripted(FOUND, listing(blob("f"), blob("f2")), gone, versions, gone, gone) as (azure, asked):
        await azure.purge("f")
    deleted = [line for line in asked if line.startswith("DELETE")]
    assert deleted == ["DELETE /files/f", "DELETE /files/f?versionid=1", "DELETE /files/f?versionid=2"]


async def test_a_deleted_file_can_be_purged() -> None:
    missing = answer(404, "BlobNotFound")
    async with scripted(missing, listing(), listing(version("f", "1")), answer(202)) as (azure, asked):
        await azure.purge("f")
    assert asked[-1] == "DELETE /files/f?versionid=1"


async def test_an_account_that_can_not_keep_versions() -> None:
    lacks = answer(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts")
    async with scripted(FOUND, listing(blob("f")), answer(202), lacks) as (azure, asked):
        await azure.purge("f")
    assert asked[2] == "DELETE /files/f"
    async with scripted(lacks) as (azure, _):
        with pytest.raises(Unsupported):
            await azure.properties("f")
