"""Names and versions that change while we look; listings of many pages."""

import os
from typing import cast

import pytest

from connectors.conformance.kit import FullConnector, names, put, whole
from connectors.interface import (
    AlreadyExists,
    InvalidName,
    NotFound,
    NotPermitted,
    PreconditionFailed,
)
from tests.connectors.gcs.doubles import account, then
from tests.servers.gcs_double import GcsDouble


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
