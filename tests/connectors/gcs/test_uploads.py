"""Uploads in pieces that are resumed; downloads that break."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, pieces, put, whole
from connectors.gcs import GcsConnector, uploads
from connectors.interface import (
    Throttled,
    TimedOut,
    Unavailable,
)
from tests.connectors.gcs.doubles import MIB, account, then
from tests.connectors.leaving import PARTS, REQUESTING, leave_at_every_moment
from tests.servers.gcs_double import GRAIN, GcsDouble


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


@pytest.mark.parametrize("verb", sorted(REQUESTING.keys() - PARTS))
async def test_whoever_leaves_at_any_moment_leaves_nothing(double: GcsDouble, verb: str) -> None:
    async def left() -> object:
        return double.sessions

    await leave_at_every_moment(
        lambda: account(double, prefix=secrets.token_hex(6)).opened(),
        REQUESTING[verb],
        lambda gcs: gcs._bucket._client,
        left,
    )


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
