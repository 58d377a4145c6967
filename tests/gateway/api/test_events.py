"""Events by the API: both workers real, the store a folder that others change too."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kloudless
import pytest
import requests

from connectors.interface import Connector
from gateway.worker.desk import Desk
from gateway.worker.events import collector
from store.queries import applications, audit, events, feeds
from store.tables import now
from tests.gateway.api.folder_doubles import PartsDouble, PlainDouble
from tests.gateway.api.served import Connected
from tests.gateway.api.whole import Whole, registered, whole_gateway

STORES: dict[str, type[Connector]] = {"watched_double": PartsDouble, "unwatched_double": PlainDouble}


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """A gateway in which crawls are begun by the tests alone."""
    with (
        registered(STORES),
        whole_gateway(tmp_path_factory.mktemp("events"), idle_timeout=5.0, events_entries=50) as running,
    ):
        yield running


@pytest.fixture
def mine(eventful: Whole) -> Connected:
    """An account whose events are collected; its store has been looked through once."""
    made = eventful.connect(service="watched_double")
    folder = eventful.folder(made)
    (folder / "old").mkdir()
    (folder / "old" / "a.txt").write_text("a")
    switch(eventful, made, on=True)
    crawl(eventful, made)
    return made


def switch(gateway: Whole, account: Connected, *, on: bool) -> None:
    url = f"{gateway.url}/v1/meta/applications/{account.application_id}"
    assert requests.patch(url, json={"events_enabled": on}, headers=account.meta, timeout=10).ok
    gateway.desk.feeds._enabled.forget()  # which it remembers for a second


def crawl(gateway: Whole, account: Connected) -> None:
    """The account is looked through, if its events are wanted, whether it is due or not."""

    async def act(desk: Desk) -> None:
        async with desk.database.session() as session:
            await feeds.hurry(session, account.account_id)
        await collector.plan(desk)
        for turn in await collector.turns(desk, 1000):
            if turn.account_id == account.account_id:
                await collector.crawl(desk, turn)

    gateway.inside(act)


def read(gateway: Whole, account: Connected, path: str = "", **query: Any) -> requests.Response:
    url = f"{gateway.url}/v1/accounts/{account.account_id}/events{path}"
    return requests.get(url, params=query, headers=account.bearer, timeout=90)


def told(gateway: Whole, account: Connected, **query: Any) -> list[tuple[str, str]]:
    return [(e["type"], e["metadata"]["path"]) for e in read(gateway, account, **query).json()["objects"]]


def upload(gateway: Whole, account: Connected, name: str, **query: Any) -> dict[str, Any]:
    made = requests.post(
        gateway.storage(account, "files"),
        params=query,
        data=b"bytes",
        headers={
            **account.bearer,
            "Content-Type": "application/octet-stream",
            "X-Kloudless-Metadata": f'{{"name": "{name}", "parent_id": "root"}}',
        },
        timeout=10,
    )
    assert made.status_code in (200, 201), made.text
    found: dict[str, Any] = made.json()
    return found


def test_what_the_gateway_changes_is_told_at_once_in_order_and_never_twice(
    eventful: Whole, mine: Connected
) -> None:
    storage = eventful.storage(mine, "")
    http = requests.Session()
    http.headers.update(mine.bearer)
    file = upload(eventful, mine, "one.txt")
    http.put(f"{storage}files/{file['id']}", data=b"more bytes").raise_for_status()
    upload(eventful, mine, "one.txt", overwrite="true")
    folder = http.post(f"{storage}folders", json={"parent_id": "root", "name": "new"}).json()
    http.post(f"{storage}folders", json={"parent_id": "root", "name": "new"}).raise_for_status()
    renamed = http.patch(f"{storage}files/{file['id']}", json={"name": "two.txt"}).json()
    moved = http.patch(f"{storage}files/{renamed['id']}", json={"parent_id": folder["id"]}).json()
    http.post(f"{storage}files/{moved['id']}/copy", json={"parent_id": "root"}).raise_for_status()
    http.delete(f"{storage}files/{moved['id']}").raise_for_status()
    found = read(eventful, mine).json()
    assert [(e["type"], e["metadata"]["path"]) for e in found["objects"]] == [
        ("add", "/one.txt"),
        ("update", "/one.txt"),
        ("update", "/one.txt"),
        ("add", "/new"),
        ("rename", "/two.txt"),
        ("move", "/new/two.txt"),
        ("copy", "/two.txt"),
        ("delete", "/new/two.txt"),
    ]
    assert [e["cursor"] for e in found["objects"]] == list(range(1, 9))
    assert (found["cursor"], found["remaining"], found["count"], found["type"]) == (8, 0, 8, "object_list")
    rename, delete = found["objects"][4], found["objects"][7]
    assert rename["previous_metadata"]["id"] == file["id"]
    assert (rename["metadata"]["id"], rename["ip"]) == (renamed["id"], "127.0.0.1")
    assert rename["user"].startswith("access token ")
    assert (delete["id"], delete["metadata"]["id"]) == (moved["id"], moved["id"])
    crawl(eventful, mine)
    assert read(eventful, mine, "/latest").json() == {"cursor": 8}


def test_what_a_task_and_an_upload_in_parts_change_is_told(eventful: Whole, mine: Connected) -> None:
    storage = eventful.storage(mine, "")
    http = requests.Session()
    http.headers.update(mine.bearer)
    for overwrite in ("false", "true"):
        begun = http.post(
            f"{storage}multipart",
            params={"overwrite": overwrite},
            json={"parent_id": "root", "name": "p", "size": 3},
        ).json()
        http.put(
            f"{storage}multipart/{begun['id']}", params={"part_number": 1}, data=b"123"
        ).raise_for_status()
        http.post(f"{storage}multipart/{begun['id']}/complete").raise_for_status()
    file = upload(eventful, mine, "gone")
    task = http.delete(f"{storage}files/{file['id']}", headers={"X-Kloudless-Async": "true"})
    assert told(eventful, mine)[:3] == [("add", "/p"), ("update", "/p"), ("add", "/gone")]
    assert task.status_code in (202, 429)  # without its own loop the worker of this test carries no task


def test_what_others_change_is_found_by_looking(eventful: Whole, mine: Connected) -> None:
    folder = eventful.folder(mine)
    assert told(eventful, mine) == []
    (folder / "new").mkdir()
    (folder / "new" / "b.txt").write_text("b")
    (folder / "old" / "a.txt").rename(folder / "old" / "renamed.txt")
    crawl(eventful, mine)
    assert told(eventful, mine) == [
        ("add", "/new"),
        ("rename", "/old/renamed.txt"),
        ("add", "/new/b.txt"),
    ]
    (folder / "new" / "b.txt").write_text("bb")
    (folder / "old" / "renamed.txt").rename(folder / "new" / "moved.txt")
    crawl(eventful, mine)
    assert sorted(told(eventful, mine, cursor=3)) == [("move", "/new/moved.txt"), ("update", "/new/b.txt")]
    shutil.rmtree(folder / "new")
    crawl(eventful, mine)
    assert told(eventful, mine, cursor=5)[-1] == ("delete", "/new")
    assert sorted(told(eventful, mine, cursor=5)) == [
        ("delete", "/new"),
        ("delete", "/new/b.txt"),
        ("delete", "/new/moved.txt"),
    ]
    nobody = read(eventful, mine, cursor=5).json()["objects"][0]
    assert (nobody["user"], nobody["ip"]) == (None, None)


def test_a_store_that_is_away_loses_nothing(
    eventful: Whole, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainDouble, "away", True)
    crawl(eventful, mine)
    away = read(eventful, mine).json()
    assert (away["objects"], away["cursor"]) == ([], 0)
    assert "can't be reached" in away["collection"]["error"]
    monkeypatch.setattr(PlainDouble, "away", False)
    crawl(eventful, mine)
    back = read(eventful, mine).json()
    assert (back["objects"], back["collection"]["error"]) == ([], None)
    assert back["collection"]["crawled"]


def test_a_store_that_is_suddenly_empty_is_looked_at_twice(eventful: Whole, mine: Connected) -> None:
    folder = eventful.folder(mine)
    folder.rename(kept := Path(f"{folder}-unmounted"))
    folder.mkdir()
    crawl(eventful, mine)
    assert told(eventful, mine) == []
    assert "looks empty" in read(eventful, mine).json()["collection"]["error"]
    folder.rmdir()
    kept.rename(folder)
    crawl(eventful, mine)
    assert told(eventful, mine) == []
    shutil.rmtree(folder / "old")
    crawl(eventful, mine)
    assert told(eventful, mine) == []
    crawl(eventful, mine)
    assert told(eventful, mine) == [("delete", "/old/a.txt"), ("delete", "/old")]


def test_a_store_beyond_the_bound_says_so(eventful: Whole, mine: Connected) -> None:
    folder = eventful.folder(mine)
    for number in range(60):
        (folder / f"{number}").touch()
    (folder / "old" / "a.txt").unlink()
    crawl(eventful, mine)
    found = read(eventful, mine).json()
    assert found["objects"] == []
    assert "more than 50 entries (events_entries)" in found["collection"]["error"]
    assert upload(eventful, mine, "still told")
    assert told(eventful, mine) == [("add", "/still told")]


def test_the_cursor(eventful: Whole, mine: Connected) -> None:
    for number in range(5):
        upload(eventful, mine, f"{number}")
    page = read(eventful, mine, page_size=2).json()
    assert (page["count"], page["cursor"], page["remaining"]) == (2, 2, 3)
    rest = read(eventful, mine, cursor=page["cursor"]).json()
    assert [e["cursor"] for e in rest["objects"]] == [3, 4, 5]
    end = read(eventful, mine, cursor=5).json()
    assert (end["objects"], end["cursor"], end["remaining"]) == ([], 5, 0)
    (first,) = requests.get(rest["objects"][0]["href"], headers=mine.bearer, timeout=10).json()["objects"]
    assert first == rest["objects"][0]
    middle = rest["objects"][0]["modified"]
    assert [e["cursor"] for e in read(eventful, mine, **{"from": middle}).json()["objects"]] == [3, 4, 5]
    assert [e["cursor"] for e in read(eventful, mine, until=middle).json()["objects"]] == [1, 2]
    beyond = read(eventful, mine, cursor=6)
    assert (beyond.status_code, beyond.json()["cursor"]) == (410, 5)

    async def purge(desk: Desk) -> None:
        async with desk.database.session() as session:
            assert await events.purge(session, mine.account_id, now(), 3) == 3

    eventful.inside(purge)
    old = read(eventful, mine, cursor=2)
    assert (old.status_code, old.json()["error_code"], old.json()["cursor"]) == (410, "gone", 3)
    assert [e["cursor"] for e in read(eventful, mine, cursor=3).json()["objects"]] == [4, 5]
    assert [e["cursor"] for e in read(eventful, mine).json()["objects"]] == [4, 5]
    assert read(eventful, mine, "/latest").json() == {"cursor": 5}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"page_size": 100_000}, "page_size"),
        ({"page_size": 0}, "page_size"),
        ({"cursor": "-1"}, "cursor"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "9" * 19}, "cursor"),
        ({"wait": 61}, "wait"),
        ({"wait": "long"}, "wait"),
        ({"from": "yesterday"}, "from"),
        ({"until": "tomorrow"}, "until"),
    ],
)
def test_what_is_wrong_is_named(eventful: Whole, mine: Connected, query: dict[str, Any], named: str) -> None:
    found = read(eventful, mine, **query)
    assert (found.status_code, found.json()["error_code"]) == (400, "invalid_parameter")
    assert found.json()["message"].startswith(f"{named}:")


def test_who_waits_is_woken_at_once(eventful: Whole, mine: Connected) -> None:
    answers: list[tuple[float, requests.Response]] = []

    def wait() -> None:
        answers.append((time.monotonic(), read(eventful, mine, cursor=0, wait=30)))
        answers.append((time.monotonic(), answers[0][1]))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not eventful.desk.feeds._waiting:
        assert waiting.is_alive()
        time.sleep(0.01)
    began = time.monotonic()
    upload(eventful, mine, "awaited")
    waiting.join(30)
    assert answers[1][0] - began < 5
    assert [e["type"] for e in answers[0][1].json()["objects"]] == ["add"]
    assert not eventful.desk.feeds._waiting


def test_a_wait_ends_empty_and_one_for_nothing_is_not_begun(eventful: Whole, mine: Connected) -> None:
    began = time.monotonic()
    assert read(eventful, mine, wait=1).json()["objects"] == []
    assert 0.9 < time.monotonic() - began < 10
    assert read(eventful, mine, cursor=77, wait=60).status_code == 410


def test_an_application_without_events_is_told_how_to_switch_them_on(eventful: Whole) -> None:
    off = eventful.connect(service="unwatched_double")
    for path in ("", "/latest"):
        found = read(eventful, off, path)
        assert found.status_code == 403
        assert (
            f'/meta/applications/{off.application_id} with {{"events_enabled": true}}'
            in found.json()["message"]
        )
    upload(eventful, off, "unseen")
    crawl(eventful, off)

    async def feed(desk: Desk) -> object:
        async with desk.database.session() as session:
            return await events.feed(session, off.account_id)

    assert eventful.inside(feed) is None


def test_switched_off_nothing_is_kept_of_the_store_and_on_again_begins_anew(
    eventful: Whole, mine: Connected
) -> None:
    upload(eventful, mine, "told")
    switch(eventful, mine, on=False)
    crawl(eventful, mine)
    (eventful.folder(mine) / "meanwhile").touch()
    switch(eventful, mine, on=True)
    crawl(eventful, mine)
    (eventful.folder(mine) / "afterwards").touch()
    crawl(eventful, mine)
    assert told(eventful, mine) == [("add", "/told"), ("add", "/afterwards")]


def test_a_change_of_the_account_has_its_store_looked_at_soon(eventful: Whole, mine: Connected) -> None:
    (eventful.folder(mine) / "new").touch()
    url = f"{eventful.url}/v1/accounts/{mine.account_id}"
    requests.patch(url, json={"enabled": True}, headers=mine.key, timeout=10).raise_for_status()

    async def due(desk: Desk) -> list[int]:
        return [turn.account_id for turn in await collector.turns(desk, 100)]

    assert mine.account_id in eventful.inside(due)


def test_the_activity_api_has_the_same(eventful: Whole, mine: Connected) -> None:
    upload(eventful, mine, "active")
    base = f"{eventful.url}/v2/accounts/{mine.account_id}/subscriptions"
    found = requests.get(f"{base}/default/activity", headers=mine.bearer, timeout=10).json()
    assert found["objects"] == read(eventful, mine).json()["objects"]
    assert requests.get(f"{base}/other/activity", headers=mine.bearer, timeout=10).status_code == 404
    assert requests.get(f"{base}/default/activity", timeout=10).status_code == 401


def test_several_accounts_have_no_common_cursor(eventful: Whole, mine: Connected) -> None:
    other = eventful.another_account(mine, service="unwatched_double")
    url = f"{eventful.url}/v1/accounts/{mine.account_id},{other.account_id}/events"
    assert requests.get(url, headers=mine.key, timeout=10).status_code == 400


def test_the_published_client_reads_events(
    eventful: Whole, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kloudless.configuration, "base_url", eventful.url)
    for number in range(5):
        upload(eventful, mine, f"{number}")
    with kloudless.Account(token=mine.token) as account:
        cursor = account.get("events/latest").data["cursor"]
        assert cursor == 5
        found = account.get("events", params={"cursor": 0, "page_size": 2})
        assert found.cursor == 2
        every = list(found.get_paging_iterator())
        assert [e.data["metadata"]["name"] for e in every] == ["0", "1", "2", "3", "4"]
        assert found.latest_cursor == 5
        assert every[3].get().data["objects"][0] == every[3].data


def test_reading_is_in_the_audit_log(eventful: Whole, mine: Connected) -> None:
    read(eventful, mine)

    async def looked(desk: Desk) -> list[str]:
        desk.trail.sum_looks()
        await desk.uses.flush()
        async with desk.database.session() as session:
            rows = await audit.latest(session, 10, subject=str(mine.account_id))
            return [f"{row.actor}: {row.action} {row.detail}" for row in rows]

    rows = eventful.inside(looked)
    assert any(row.startswith("access token ") and 'storage.look {"events": 1}' in row for row in rows), rows
    assert 'gateway: storage.look {"crawl": 1}' in rows


def test_nobody_reads_another_ones_events(eventful: Whole, mine: Connected) -> None:
    other = eventful.connect(service="unwatched_double")
    url = f"{eventful.url}/v1/accounts/{mine.account_id}/events"
    for headers in (other.bearer, other.key):
        assert requests.get(url, headers=headers, timeout=10).status_code == 404


def test_an_account_that_goes_takes_its_events_along(eventful: Whole, mine: Connected) -> None:
    upload(eventful, mine, "gone soon")
    url = f"{eventful.url}/v1/accounts/{mine.account_id}"
    assert requests.delete(url, headers=mine.key, timeout=10).status_code == 204

    async def left(desk: Desk) -> tuple[object, int]:
        async with desk.database.session() as session:
            assert await applications.fetch(session, mine.application_id)
            rows = await events.page(session, mine.account_id, 0, 10)
            return await events.feed(session, mine.account_id), len(rows)

    assert eventful.inside(left) == (None, 0)
