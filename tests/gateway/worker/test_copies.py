"""Operations on entries of one or two accounts: what fails leaves the source whole."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import orjson
import pytest

from connectors.conformance.direct import Direct
from connectors.interface import (
    AlreadyExists,
    Entry,
    InvalidName,
    Kind,
    NotPermitted,
    Page,
    PreconditionFailed,
    Unavailable,
    Unsupported,
)
from connectors.local import LocalConnector
from connectors.local.settings import LocalSettings
from gateway.operations import AccountRef
from gateway.settings import Settings
from gateway.worker.accounts import Accounts, OpenAccount
from gateway.worker.desk import Desk
from gateway.worker.ids import Ids
from gateway.worker.operations import copies, entries, finding
from gateway.worker.senders import Senders
from gateway.worker.tasks import Progress
from store import migrate
from store.engine import open_database


class Store(LocalConnector):
    """A double on a real folder: it copies, searches and takes headers as far as a test lets it."""

    copies_today = False
    searches_today = True
    refuses_to_delete = False
    loses_the_connection_at: str | None = None
    changes_meanwhile: Path | None = None

    def __init__(self, settings: LocalSettings, idle_timeout: float) -> None:
        super().__init__(settings, idle_timeout)
        self.asked: list[str] = []
        self.headers: Mapping[str, str] = {}

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        self.asked.append("copy")
        if not self.copies_today:
            raise Unsupported("this store does not copy")
        return await self.mkdir(parent, name)

    async def search(self, query: str, cursor: str | None, limit: int) -> Page:
        self.asked.append(f"search {cursor}")
        if not self.searches_today:
            raise Unsupported("this store does not search")
        found = Entry("found", f"{query} found", Kind.FILE, "", raw={"store": "says"})
        return Page([found], None if cursor else "more")

    async def stat(self, raw_id: str) -> Entry:
        if self.headers:
            self.asked.append(f"stat with {dict(self.headers)}")
        return await super().stat(raw_id)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        if self.refuses_to_delete:
            raise NotPermitted("not here")
        await super().delete(raw_id, recursive=recursive)

    async def read(self, raw_id: str, *args: Any, **more: Any) -> Any:
        if raw_id == self.loses_the_connection_at:
            raise Unavailable("the connection broke")
        content = await super().read(raw_id, *args, **more)
        if self.changes_meanwhile is not None:
            content.chunks = self._changing(content.chunks, self.changes_meanwhile)
        return content

    async def _changing(self, chunks: AsyncIterator[bytes], path: Path) -> AsyncGenerator[bytes]:
        async for chunk in chunks:
            yield chunk
        path.write_bytes(b"changed")

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        other = type(self)(LocalSettings(root=str(self.root)), 10.0)
        other.headers, other.asked = headers, self.asked
        return other

    root: Path


class Opened:
    """A double of the worker's open accounts."""

    def __init__(self, folder: Path) -> None:
        self.accounts: dict[int, OpenAccount] = {}
        for number in (1, 2):
            root = folder / str(number)
            root.mkdir()
            store = Store(LocalSettings(root=str(root)), 10.0)
            store.root = root
            self.accounts[number] = OpenAccount(
                number, 0, store, Ids(b"secret", number), Senders(Direct(), 5.0)
            )

    async def require(self, ref: AccountRef) -> OpenAccount:
        return self.accounts[ref.id]


class Bench:
    def __init__(self, folder: Path, url: str) -> None:
        opened = Opened(folder)
        self.one, self.two = folder / "1", folder / "2"
        self.source = cast("Store", opened.accounts[1].connector)
        self.accounts = opened.accounts
        self.database = open_database(url)
        self.desk = Desk.furnished(
            Settings(session_linger=0.2, copy_files_at_once=2),
            database=self.database,
            accounts=cast("Accounts", opened),
            hub=cast("Any", None),
            private=[],
        )

    def arguments(self, raw_id: str, kind: Kind, **more: Any) -> dict[str, Any]:
        public = self.accounts[1].ids.make(raw_id, kind)
        given = {"account": {"id": 1, "revision": 0}, "id": public, "kind": kind.value, "name": None}
        return given | {"parent_id": "root", "target": {"id": 2, "revision": 0}} | more


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"sqlite:///{tmp_path_factory.mktemp('copies') / 'state.db'}"
    migrate.upgrade(made)
    return made


@pytest.fixture
async def bench(tmp_path: Path, url: str) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, url)
    (made.one / "f").write_bytes(b"hello")
    (made.one / "t" / "sub").mkdir(parents=True)
    for path in ("t/1", "t/sub/2"):
        (made.one / path).write_bytes(b"content")
    yield made
    await made.database.aclose()


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE = ["f", "t", "t/1", "t/sub", "t/sub/2"]


async def test_a_store_that_does_not_copy_after_all_is_streamed(bench: Bench) -> None:
    made = await copies.copy(bench.desk, bench.arguments("t", Kind.FOLDER, target=None), Progress())
    assert bench.source.asked == ["copy"]
    assert made["entry"]["name"] == "t (1)"
    assert tree(bench.one / "t (1)") == ["1", "sub", "sub/2"]
    bench.source.copies_today = True
    await copies.copy(bench.desk, bench.arguments("t", Kind.FOLDER, target=None), Progress())
    assert tree(bench.one / "t (2)") == []  # as the double copies


async def test_a_name_that_is_no_utf_8_is_listed_and_copied(bench: Bench) -> None:
    odd = b"odd\xff.txt"
    Path(os.fsdecode(bytes(bench.one / "t" / "sub") + b"/" + odd)).write_bytes(b"odd")
    listed = await entries.list_folder(
        bench.desk, {**bench.arguments("t/sub", Kind.FOLDER), "cursor": None, "limit": 10}
    )
    assert [entry["name"] for entry in orjson.loads(orjson.dumps(listed))["entries"]] == [
        "2",
        "odd\ufffd.txt",
    ]
    asked = bench.arguments("", Kind.FILE) | {"id": listed["entries"][1]["id"]}
    found = await entries.stat(bench.desk, asked)
    assert found["size"] == 3
    for _ in range(2):
        await copies.copy(bench.desk, {**bench.arguments("t", Kind.FOLDER)}, Progress())
    for name in ("t", "t (1)"):
        assert os.listdir(bytes(bench.two / name / "sub")) in ([b"2", odd], [odd, b"2"])


async def test_a_copy_of_the_root_needs_a_name(bench: Bench) -> None:
    root = {"account": {"id": 1, "revision": 0}, "id": "root", "kind": "folder", "parent_id": "root"}
    target = {"target": {"id": 2, "revision": 0}}
    with pytest.raises(InvalidName):
        await copies.copy(bench.desk, {**root, **target, "name": None}, Progress())
    with pytest.raises(InvalidName):
        await copies.move_across(bench.desk, {**root, **target, "name": "all"}, Progress())
    await copies.copy(bench.desk, {**root, **target, "name": "all"}, Progress())
    assert tree(bench.two / "all") == WHOLE


async def test_a_move_that_breaks_leaves_the_source_whole_and_no_copy(bench: Bench) -> None:
    bench.source.loses_the_connection_at = "t/sub/2"
    with pytest.raises(Unavailable):
        await copies.move_across(bench.desk, bench.arguments("t", Kind.FOLDER), Progress())
    assert (tree(bench.one), tree(bench.two)) == (WHOLE, [])


@pytest.mark.parametrize(("raw_id", "kind"), [("f", Kind.FILE), ("t", Kind.FOLDER)])
async def test_what_changes_while_it_is_moved_stays(bench: Bench, raw_id: str, kind: Kind) -> None:
    bench.source.changes_meanwhile = bench.one / ("f" if kind is Kind.FILE else "t/1")
    with pytest.raises(PreconditionFailed):
        await copies.move_across(bench.desk, bench.arguments(raw_id, kind), Progress())
    assert (tree(bench.one), tree(bench.two)) == (WHOLE, [])


async def test_a_source_that_lets_nothing_go_keeps_a_file_and_never_loses_a_folder(bench: Bench) -> None:
    bench.source.refuses_to_delete = True
    with pytest.raises(NotPermitted):
        await copies.move_across(bench.desk, bench.arguments("f", Kind.FILE), Progress())
    assert (tree(bench.one), tree(bench.two)) == (WHOLE, [])
    with pytest.raises(NotPermitted):
        await copies.move_across(bench.desk, bench.arguments("t", Kind.FOLDER), Progress())
    assert tree(bench.one) == WHOLE
    assert tree(bench.two / "t") == ["1", "sub", "sub/2"]


async def test_a_move_across_to_a_taken_name(bench: Bench) -> None:
    (bench.two / "f").write_bytes(b"theirs")
    with pytest.raises(AlreadyExists):
        await copies.move_across(bench.desk, bench.arguments("f", Kind.FILE), Progress())
    assert (bench.two / "f").read_bytes() == b"theirs"


async def test_a_search_is_the_stores_where_it_can(bench: Bench) -> None:
    asked: dict[str, Any] = {"account": {"id": 1, "revision": 0}, "query": "f", "parents": [], "limit": 10}
    first = await finding.search(bench.desk, {**asked, "cursor": None}, Progress())
    assert [entry["name"] for entry in first["entries"]] == ["f found"]
    last = await finding.search(bench.desk, {**asked, "cursor": first["next_cursor"]}, Progress())
    assert (bench.source.asked, last["next_cursor"]) == (["search None", "search more"], None)


@pytest.mark.parametrize("parents", [(), ("t",)])
async def test_a_search_that_the_store_can_not_do_is_a_walk(bench: Bench, parents: Sequence[str]) -> None:
    bench.source.searches_today = False
    folders = [bench.accounts[1].ids.make(parent, Kind.FOLDER) for parent in parents]
    asked = {"account": {"id": 1, "revision": 0}, "query": "2", "parents": folders, "limit": 10}
    found = await finding.search(bench.desk, {**asked, "cursor": None}, Progress())
    assert [entry["raw_id"] for entry in found["entries"]] == ["t/sub/2"]


async def test_headers_and_raw_data_reach_the_store_for_that_request_alone(bench: Bench) -> None:
    plain = {"account": {"id": 1, "revision": 0}, "id": "root", "kind": "folder"}
    await entries.stat(bench.desk, {**plain, "headers": {"X-Trace": "1"}, "raw": True})
    assert bench.source.asked == ["stat with {'X-Trace': '1'}"]
    await entries.stat(bench.desk, plain)
    assert len(bench.source.asked) == 1
    asked: dict[str, Any] = {**plain, "query": "f", "parents": [], "limit": 10, "cursor": None}
    for raw, shown in ((True, {"store": "says"}), (False, None)):
        found = await finding.search(bench.desk, {**asked, "raw": raw}, Progress())
        assert found["entries"][0]["raw"] == shown


async def test_an_account_with_headers_of_its_own_is_busy_as_the_shared_one(bench: Bench) -> None:
    release = asyncio.Event()

    async def slow(raw_id: str, parent: str, name: str) -> Entry:
        await release.wait()
        raise Unsupported("no")

    bench.source.copy = slow  # type: ignore[method-assign]
    arguments = {**bench.arguments("f", Kind.FILE, target=None), "raw": True}
    async with asyncio.TaskGroup() as group:
        group.create_task(copies.copy(bench.desk, arguments, Progress()))
        async with asyncio.timeout(5):
            while not bench.accounts[1].running:
                await asyncio.sleep(0.01)
        release.set()
    assert bench.accounts[1].running == 0
