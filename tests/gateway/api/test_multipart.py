"""Uploads in parts, from the published client through api and worker to a store, a double, that has them."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import kloudless
import pytest
import requests
from kloudless import exceptions

from connectors.interface import Unavailable
from gateway.api.errors import ApiError
from gateway.api.multipart import check_complete, check_part
from gateway.operations import PartView, UploadView
from gateway.worker.desk import Desk
from gateway.worker.operations import uploads as worker_uploads
from store.engine import Database
from store.queries import uploads
from store.tables import Upload, now
from tests.gateway.api.folder_doubles import PART_SIZE, PartsDouble, PlainDouble
from tests.gateway.api.served import Connected, wait_until
from tests.gateway.api.whole import Whole


@pytest.fixture
def mine(whole: Whole) -> Iterator[Connected]:
    yield whole.connect(service="parts_double")
    PlainDouble.away, PartsDouble.fails = False, None


def begin(http: requests.Session, whole: Whole, mine: Connected, query: str = "", **given: Any) -> Any:
    body = {"parent_id": "root", "name": "a.bin", **given}
    made = http.post(whole.storage(mine, f"multipart{query}"), json=body, headers=mine.bearer)
    assert made.status_code == 201, made.text
    return made.json()


def put(
    http: requests.Session, mine: Connected, session: Any, number: object, body: bytes
) -> requests.Response:
    return http.put(f"{session['href']}?part_number={number}", data=body, headers=mine.bearer)


def complete(http: requests.Session, mine: Connected, session: Any) -> requests.Response:
    return http.post(f"{session['href']}/complete", headers=mine.bearer)


def refused(response: requests.Response, status: int, code: str, named: str = "") -> None:
    assert (response.status_code, response.json()["error_code"]) == (status, code), response.text
    assert response.json()["message"].startswith(named), response.text


def test_the_published_client_sends_a_file_in_parts(
    whole: Whole, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kloudless.configuration, "base_url", whole.url)
    content = os.urandom(2 * PART_SIZE + 77)
    with kloudless.Account(token=mine.token) as client:
        session = client.post("storage/multipart", json={"parent_id": "root", "name": "a.bin"})
        assert session.data["account"] == mine.account_id
        size = session.data["part_size"]
        assert session.data["parallel"] is True
        for number in range(1, 4):
            part = content[(number - 1) * size : number * size]
            session.put(params={"part_number": number}, data=part)
        session.refresh()
        assert [part["part_number"] for part in session.data["parts"]] == [1, 2, 3]
        file = session.post("complete")
        assert (file.data["type"], file.data["name"], file.data["size"]) == ("file", "a.bin", len(content))
        assert b"".join(file.get("contents").iter_content(100_000)) == content
        with pytest.raises(exceptions.NotFoundException):
            session.refresh()
        given_up = client.post("storage/multipart", json={"parent_id": "root", "name": "b.bin"})
        given_up.put(params={"part_number": 1}, data=b"x")
        given_up.delete()
        with pytest.raises(exceptions.NotFoundException):
            given_up.put(params={"part_number": 2}, data=b"x")
    assert [path.name for path in whole.folder(mine).iterdir()] == ["a.bin"]


def test_parts_come_in_any_order_at_once_and_again(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session = begin(http, whole, mine)
    wanted = [os.urandom(PART_SIZE) for _ in range(6)] + [b"end"]
    assert put(http, mine, session, 3, b"x" * PART_SIZE).json()["size"] == PART_SIZE
    answers: list[int] = []

    def send(number: int) -> None:
        answers.append(put(requests.Session(), mine, session, number, wanted[number - 1]).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in (7, 2, 5, 1, 3, 6, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 7
    shown = http.get(session["href"], headers=mine.bearer).json()
    sizes = [(part["part_number"], part["size"]) for part in shown["parts"]]
    assert sizes == [*((number, PART_SIZE) for number in range(1, 7)), (7, 3)]
    assert complete(http, mine, session).status_code == 201
    assert (whole.folder(mine) / "a.bin").read_bytes() == b"".join(wanted)


@pytest.mark.parametrize(("service", "at_once"), [("parts_double", 2), ("serial_double", 1)])
def test_parts_are_written_side_by_side_where_the_store_takes_that(
    http: requests.Session, whole: Whole, service: str, at_once: int
) -> None:
    mine = whole.connect(service=service)
    session = begin(http, whole, mine)
    assert session["parallel"] is (at_once > 1)
    PartsDouble.most_at_once = 0
    path = session["href"].removeprefix(whole.url)
    clients = [socket.create_connection(("127.0.0.1", whole.port)) for _ in range(2)]
    try:
        for number, client in enumerate(clients, 1):
            head = f"PUT {path}?part_number={number} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            client.sendall(
                f"{head}{mine.token}\r\nContent-Length: {PART_SIZE}\r\nConnection: close\r\n\r\n".encode()
            )
            client.sendall(b"x" * (PART_SIZE - 1))
        wait_until(lambda: PartsDouble.most_at_once == at_once)
        for client in clients:
            client.sendall(b"y")
        for client in clients:
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    finally:
        for client in clients:
            client.close()
    assert PartsDouble.most_at_once == at_once


def test_what_parts_may_be(http: requests.Session, whole: Whole, mine: Connected) -> None:
    session = begin(http, whole, mine)
    for number in ("0", "-1", "x", "", "1.5", "50001", "9" * 30):
        refused(put(http, mine, session, number, b"x"), 400, "invalid_parameter", "part_number:")
    refused(put(http, mine, session, 1, b"x" * (PART_SIZE + 1)), 400, "invalid_parameter", "body:")
    chunked = http.put(f"{session['href']}?part_number=1", data=iter([b"x"]), headers=mine.bearer)
    refused(chunked, 411, "length_required", "Content-Length:")
    refused(complete(http, mine, session), 400, "invalid_parameter", "parts: none")
    put(http, mine, session, 3, b"end")
    refused(put(http, mine, session, 2, b"short"), 400, "invalid_parameter", "parts: part 2 must have")
    refused(complete(http, mine, session), 400, "invalid_parameter", "parts: part 1 is missing")
    put(http, mine, session, 1, b"x" * PART_SIZE)
    refused(complete(http, mine, session), 400, "invalid_parameter", "parts: part 2 is missing")
    put(http, mine, session, 2, b"y" * PART_SIZE)
    assert complete(http, mine, session).status_code == 201


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"name": "a"}, "parent_id:"),
        ({"parent_id": "root"}, "name:"),
        ({"parent_id": "root", "name": "a/b"}, "name:"),
        ({"parent_id": "root", "name": "a", "size": -1}, "size:"),
        ({"parent_id": "root", "name": "a", "size": "5"}, "size:"),
        ({"parent_id": "root", "name": "a", "size": True}, "size:"),
        ({"parent_id": "root", "name": "a", "size": 2**63}, "size:"),
    ],
)
def test_what_begins_none(
    http: requests.Session, whole: Whole, mine: Connected, body: dict[str, Any], named: str
) -> None:
    answer = http.post(whole.storage(mine, "multipart"), json=body, headers=mine.bearer)
    refused(answer, 400, "invalid_parameter", named)
    assert list(whole.folder(mine).iterdir()) == []


def view(size: int | None, *parts: tuple[int, int]) -> UploadView:
    return UploadView(
        "u", "a", size, 100, True, now(), now(), tuple(PartView(n, length, now()) for n, length in parts)
    )


@pytest.mark.parametrize(
    ("size", "number", "length", "fine"),
    [
        (250, 1, 100, True),
        (250, 3, 50, True),
        (250, 3, 51, False),
        (250, 1, 99, False),
        (250, 4, 1, False),
        (200, 2, 100, True),
        (200, 3, 0, False),
        (0, 1, 0, True),
        (0, 1, 1, False),
        (None, 9, 100, True),
        (None, 9, 1, True),
        (None, 9, 101, False),
    ],
)
def test_a_part_has_the_size_that_its_number_needs(
    size: int | None, number: int, length: int, fine: bool
) -> None:
    if fine:
        check_part(view(size), number, length)
    else:
        with pytest.raises(ApiError):
            check_part(view(size), number, length)


@pytest.mark.parametrize(
    ("size", "parts", "fine"),
    [
        (None, [(1, 100), (2, 100), (3, 1)], True),
        (None, [(1, 0)], True),
        (None, [], False),
        (None, [(1, 99), (2, 100)], False),
        (None, [(1, 100), (3, 100)], False),
        (None, [(2, 100)], False),
        (200, [(1, 100)], False),
        (200, [(1, 100), (2, 100)], True),
    ],
)
def test_only_a_whole_file_is_completed(size: int | None, parts: list[tuple[int, int]], fine: bool) -> None:
    if fine:
        check_complete(view(size, *parts))
    else:
        with pytest.raises(ApiError):
            check_complete(view(size, *parts))


def test_a_taken_name(http: requests.Session, whole: Whole, mine: Connected) -> None:
    there = whole.folder(mine) / "a.bin"
    there.write_bytes(b"first")
    assert begin(http, whole, mine)["name"] == "a (1).bin"
    body = {"parent_id": "root", "name": "a.bin"}
    url = whole.storage(mine, "multipart?conflict_if_exists=true")
    refused(http.post(url, json=body, headers=mine.bearer), 409, "item_exists")
    session = begin(http, whole, mine, "?overwrite=true")
    put(http, mine, session, 1, b"second")
    assert there.read_bytes() == b"first"
    assert complete(http, mine, session).json()["name"] == "a.bin"
    assert there.read_bytes() == b"second"


def test_a_name_taken_meanwhile_can_be_freed(http: requests.Session, whole: Whole, mine: Connected) -> None:
    session = begin(http, whole, mine)
    put(http, mine, session, 1, b"mine")
    there = whole.folder(mine) / "a.bin"
    there.write_bytes(b"another's")
    refused(complete(http, mine, session), 409, "item_exists")
    there.unlink()
    assert complete(http, mine, session).status_code == 201
    assert there.read_bytes() == b"mine"


def test_a_store_that_fails_at_the_end_is_asked_again(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session = begin(http, whole, mine)
    put(http, mine, session, 1, b"mine")
    PartsDouble.fails = Unavailable("the connection broke")
    refused(complete(http, mine, session), 502, "service_error")
    assert complete(http, mine, session).status_code == 201


def test_an_upload_goes_on_after_its_account_was_closed_and_opened_again(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session = begin(http, whole, mine)
    put(http, mine, session, 1, b"x" * PART_SIZE)

    async def forget(desk: Desk) -> None:
        await desk.accounts.forget(mine.account_id)

    whole.inside(forget)
    put(http, mine, session, 2, b"end")
    assert complete(http, mine, session).json()["size"] == PART_SIZE + 3


def test_what_is_anothers_is_not_there(http: requests.Session, whole: Whole, mine: Connected) -> None:
    session = begin(http, whole, mine)
    other = whole.another_account(mine, service="parts_double")
    theirs = whole.storage(other, f"multipart/{session['id']}")
    for answer in (
        http.get(theirs, headers=mine.key),
        http.put(f"{theirs}?part_number=1", data=b"x", headers=mine.key),
        http.post(f"{theirs}/complete", headers=mine.key),
        http.delete(theirs, headers=mine.key),
        http.get(whole.storage(mine, "multipart/made-up"), headers=mine.key),
    ):
        refused(answer, 404, "not_found")
    assert http.get(session["href"], headers=whole.connect(service="parts_double").bearer).status_code == 404
    assert http.get(session["href"], headers=mine.bearer).status_code == 200


def test_a_store_without_parts_says_which_one(http: requests.Session, whole: Whole) -> None:
    mine = whole.connect(service="plain_double")
    body = {"parent_id": "root", "name": "a"}
    answer = http.post(whole.storage(mine, "multipart"), json=body, headers=mine.bearer)
    refused(answer, 501, "not_implemented", "the plain_double connector can't take uploads in parts")


def _half(whole: Whole, mine: Connected, session: Any) -> socket.socket:
    """A client in the middle of its first part."""
    client = socket.create_connection(("127.0.0.1", whole.port), timeout=10)
    path = session["href"].removeprefix(whole.url)
    head = f"PUT {path}?part_number=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mine.token}\r\n"
    client.sendall(f"{head}Content-Length: 1000\r\nConnection: close\r\n\r\nonly a part".encode())
    wait_until(lambda: bool(whole.desk.turns._held))
    return client


def test_an_upload_is_not_completed_while_a_part_is_written(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session = begin(http, whole, mine)
    put(http, mine, session, 1, b"before")
    with _half(whole, mine, session):
        refused(complete(http, mine, session), 409, "conflict")
    wait_until(lambda: not whole.desk.turns._held)  # the client is gone: the part before stands
    assert complete(http, mine, session).status_code == 201
    assert (whole.folder(mine) / "a.bin").read_bytes() == b"before"


def test_abandoning_breaks_off_what_is_being_written(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session = begin(http, whole, mine)
    with _half(whole, mine, session) as client:
        assert http.delete(session["href"], headers=mine.bearer).status_code == 204
        client.sendall(b"x" * 100)
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 404 ")
    assert list(whole.folder(mine).iterdir()) == []
    assert whole.desk.turns._held == {}


def expire(whole: Whole, mine: Connected, by: timedelta = timedelta(seconds=1)) -> None:
    async def act(database: Database) -> None:
        async with database.session() as session:
            for row in await uploads.of_account(session, mine.account_id):
                row.expires = now() - by

    whole.work(act)


def known(whole: Whole, mine: Connected) -> list[Upload]:
    async def act(database: Database) -> list[Upload]:
        async with database.session() as session:
            return list(await uploads.of_account(session, mine.account_id))

    return whole.work(act)


def test_an_expired_upload_is_dropped_on_both_sides(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    session, kept = begin(http, whole, mine), whole.connect(service="parts_double")
    put(http, mine, session, 1, b"x")
    begin(http, whole, kept)
    expire(whole, mine)
    refused(put(http, mine, session, 2, b"x"), 404, "not_found")
    refused(complete(http, mine, session), 404, "not_found")
    assert len(list(whole.folder(mine).iterdir())) == 1
    whole.inside(worker_uploads.drop_expired)
    assert list(whole.folder(mine).iterdir()) == []
    assert known(whole, mine) == []
    assert len(known(whole, kept)) == len(list(whole.folder(kept).iterdir())) == 1


def test_a_store_that_is_away_keeps_its_uploads_for_the_next_round(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    for _ in range(2):
        begin(http, whole, mine)
    expire(whole, mine)
    PlainDouble.away = True
    whole.inside(worker_uploads.drop_expired)
    assert len(known(whole, mine)) == 2
    PlainDouble.away = False
    whole.inside(worker_uploads.drop_expired)
    assert known(whole, mine) == []
    assert list(whole.folder(mine).iterdir()) == []


def test_a_store_that_stays_away_is_given_up(http: requests.Session, whole: Whole, mine: Connected) -> None:
    begin(http, whole, mine)
    expire(whole, mine, timedelta(days=31))
    PlainDouble.away = True
    whole.inside(worker_uploads.drop_expired)
    assert known(whole, mine) == []


def test_the_clean_up_begins_when_the_worker_does(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    begin(http, whole, mine)
    expire(whole, mine)

    async def started(desk: Desk) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker_uploads.clean_up(desk))
            async with asyncio.timeout(10):
                while await _rows(desk, mine.account_id):
                    await asyncio.sleep(0.01)
            running.cancel()

    whole.inside(started)
    assert list(whole.folder(mine).iterdir()) == []


async def _rows(desk: Desk, account: int) -> list[Upload]:
    async with desk.database.session() as session:
        return list(await uploads.of_account(session, account))


def test_an_account_takes_its_uploads_along(http: requests.Session, whole: Whole, mine: Connected) -> None:
    put(http, mine, begin(http, whole, mine), 1, b"x")
    assert http.delete(f"{whole.url}/v1/accounts/{mine.account_id}", headers=mine.key).status_code == 204
    assert list(whole.folder(mine).iterdir()) == []


def test_an_application_takes_its_accounts_uploads_along(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    other = whole.another_account(mine, service="plain_double")
    put(http, mine, begin(http, whole, mine), 1, b"x")
    application = f"{whole.url}/v1/meta/applications/{mine.application_id}"
    assert http.delete(application, headers=mine.meta).status_code == 204
    assert list(whole.folder(mine).iterdir()) == []
    assert known(whole, other) == []


def test_an_account_whose_store_is_away_is_removed_all_the_same(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    begin(http, whole, mine)
    PlainDouble.away = True
    assert http.delete(f"{whole.url}/v1/accounts/{mine.account_id}", headers=mine.key).status_code == 204
    assert known(whole, mine) == []
