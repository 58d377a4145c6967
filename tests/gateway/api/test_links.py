"""Links: made and changed over the API, opened by whoever has the URL and by nobody else."""

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kloudless
import pytest
import requests

from gateway.access import passes, passwords, tokens
from gateway.api import pages
from gateway.api.parameters import moment
from store.engine import Database
from store.queries import audit
from store.tables import now
from tests.gateway.api.folder_doubles import PlainDouble
from tests.gateway.api.served import Connected, wait_until
from tests.gateway.api.whole import Whole

CONTENT = os.urandom(300_000)


@pytest.fixture
def mine(whole: Whole) -> Iterator[Connected]:
    made = whole.connect(service="rich_double")
    (whole.folder(made) / "report.pdf").write_bytes(CONTENT)
    yield made
    PlainDouble.away = False


def file_id(http: requests.Session, whole: Whole, mine: Connected, raw_id: str = "report.pdf") -> str:
    url = f"{whole.url}/v1/accounts/{mine.account_id}/encode_raw_id"
    return str(http.post(url, json={"raw_id": raw_id, "type": "file"}, headers=mine.bearer).json()["id"])


def make(http: requests.Session, whole: Whole, mine: Connected, **given: Any) -> Any:
    body = {"file_id": file_id(http, whole, mine), **given}
    made = http.post(whole.storage(mine, "links"), json=body, headers=mine.bearer)
    assert made.status_code == 201, made.text
    return made.json()


def change(http: requests.Session, mine: Connected, link: Any, **given: Any) -> Any:
    changed = http.patch(link["href"], json=given, headers=mine.bearer)
    assert changed.status_code == 200, changed.text
    return changed.json()


def visit(url: str, method: str = "GET", **more: Any) -> requests.Response:
    """As a visitor with no key and no cookie."""
    return requests.request(method, url, timeout=20, **more)


def is_page(response: requests.Response, status: int = 200) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    assert "<script" not in response.text
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", response.text)
    assert '<html lang="en">' in response.text


def test_the_published_client_makes_lists_changes_and_deletes(
    http: requests.Session, whole: Whole, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kloudless.configuration, "base_url", whole.url)
    with kloudless.Account(token=mine.token) as client:
        file = file_id(http, whole, mine)
        made = [client.post("storage/links", json={"file_id": file, "direct": False}) for _ in range(3)]
        first = made[0].data
        assert {name: first[name] for name in ("type", "api", "account", "file_id", "name")} == {
            "type": "link",
            "api": "storage",
            "account": mine.account_id,
            "file_id": file,
            "name": "report.pdf",
        }
        assert (first["active"], first["direct"], first["password"], first["expiration"]) == (
            True,
            False,
            False,
            None,
        )
        made[1].refresh()
        assert made[1].data["url"].startswith(f"{whole.url}/links/")
        changed = made[1].patch(json={"active": False, "direct": True})
        assert (changed.data["active"], changed.data["direct"]) == (False, True)
        assert changed.data["modified"] > changed.data["created"]
        listed = client.get("storage/links", params={"page_size": 2})
        assert listed.data["total"] == 3
        ids = [link.data["id"] for link in listed.get_paging_iterator()]
        assert ids == [link.data["id"] for link in made]
        for active, count in (("true", 2), ("false", 1)):
            found = client.get("storage/links", params={"active": active})
            assert [link.data["active"] for link in found] == [active == "true"] * count
        made[0].delete()
        with pytest.raises(kloudless.exceptions.NotFoundException):
            made[0].refresh()
    assert len({link.data["url"] for link in made}) == 3


def test_the_page_offers_the_file(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link = make(http, whole, mine)
    shown = visit(link["url"])
    is_page(shown)
    assert "report.pdf" in shown.text
    assert "300.0 kB (300,000 bytes)" in shown.text
    href = re.findall(r'href="([^"]+)"', shown.text)
    assert len(href) == 1
    got = visit(whole.url + href[0])
    assert got.content == CONTENT
    assert got.headers["Content-Disposition"].startswith('attachment; filename="report.pdf"')
    assert "sandbox" in got.headers["Content-Security-Policy"]
    part = visit(whole.url + href[0], headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, CONTENT[1000:2000])
    assert part.headers["Content-Range"] == "bytes 1000-1999/300000"
    resumed = visit(whole.url + href[0], headers={"Range": "bytes=299999-", "If-Range": got.headers["ETag"]})
    assert resumed.content == CONTENT[-1:]
    assert visit(whole.url + href[0], headers={"If-None-Match": got.headers["ETag"]}).status_code == 304


def test_a_direct_link_is_the_bytes(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link = make(http, whole, mine, direct=True)
    got = visit(link["url"])
    assert (got.status_code, got.content) == (200, CONTENT)
    assert visit(link["url"], headers={"Range": "bytes=-10"}).content == CONTENT[-10:]
    head = visit(link["url"], "HEAD")
    assert (head.headers["Content-Length"], head.content) == ("300000", b"")
    beyond = visit(link["url"], headers={"Range": "bytes=300000-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */300000")
    assert visit(f"{link['url']}/").content == CONTENT


@pytest.mark.parametrize("direct", [False, True])
def test_a_password_opens_it_for_this_visitor(
    http: requests.Session, whole: Whole, mine: Connected, direct: bool
) -> None:
    link = make(http, whole, mine, password="größe & 42", direct=direct)
    assert link["password"] is True
    assert "42" not in str(
        {
            name: value
            for name, value in link.items()
            if name not in ("url", "id", "href", "file_id", "created", "modified")
        }
    )
    asked = visit(link["url"])
    is_page(asked)
    assert 'type="password"' in asked.text
    assert '<label for="password">' in asked.text
    assert "report" not in asked.text
    assert visit(f"{link['url']}/download", allow_redirects=False).status_code == 303
    wrong = visit(link["url"], "POST", data={"password": "größe"})
    is_page(wrong, 403)
    assert 'role="alert"' in wrong.text
    assert "Set-Cookie" not in wrong.headers
    for nothing in ({}, {"other": "größe & 42"}):
        is_page(visit(link["url"], "POST", data=nothing), 403)
    with requests.Session() as visitor:
        opened = visitor.post(link["url"], data={"password": "größe & 42"}, allow_redirects=False)
        assert (opened.status_code, opened.headers["Location"]) == (303, link["url"].removeprefix(whole.url))
        cookie = opened.headers["Set-Cookie"]
        for attribute in ("HttpOnly", "SameSite=lax", "Max-Age=900", f"Path={opened.headers['Location']}"):
            assert attribute in cookie
        assert visitor.get(f"{link['url']}/download").content == CONTENT
        found = visitor.get(link["url"])
        assert (found.content == CONTENT) if direct else ("Download" in found.text)
        change(http, mine, link, password="another")
        assert 'type="password"' in visitor.get(link["url"]).text
    change(http, mine, link, password=None)
    assert 'type="password"' not in visit(link["url"], headers={"Range": "bytes=0-0"}).text
    assert visit(f"{link['url']}/download").content == CONTENT


def test_a_pass_for_one_link_opens_no_other(http: requests.Session, whole: Whole, mine: Connected) -> None:
    first, second = (make(http, whole, mine, password="same") for _ in range(2))
    opened = visit(first["url"], "POST", data={"password": "same"}, allow_redirects=False)
    name, value = opened.headers["Set-Cookie"].partition(";")[0].split("=", 1)
    assert "Download" in visit(first["url"], cookies={name: value}).text
    other = "1" if value.endswith("0") else "0"
    for made_up in (value[:-1] + other, "9" * 15 + value[10:], "", "x", "1.", value.replace(".", "")):
        assert 'type="password"' in visit(first["url"], cookies={name: made_up}).text
    assert 'type="password"' in visit(second["url"], cookies={name: value}).text


def test_passes_end() -> None:
    given = passes.issue("$argon2id$1", b"link", 1000)
    assert passes.holds(given, "$argon2id$1", b"link", 999.9)
    assert not passes.holds(given, "$argon2id$1", b"link", 1000)
    assert not passes.holds(given, "$argon2id$2", b"link", 999)
    assert not passes.holds(given, "$argon2id$1", b"other", 999)


def test_guessing_is_slowed_down(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link, other = (make(http, whole, mine, password="right") for _ in range(2))
    tried = [visit(link["url"], "POST", data={"password": str(n)}).status_code for n in range(11)]
    assert tried == [403] * 10 + [429]
    slowed = visit(link["url"], "POST", data={"password": "right"})
    is_page(slowed, 429)
    assert 0 < int(slowed.headers["Retry-After"]) <= 60
    assert visit(other["url"], "POST", data={"password": "right"}, allow_redirects=False).status_code == 303


def test_guesses_whose_visitor_leaves_are_counted(
    http: requests.Session,
    whole: Whole,
    mine: Connected,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = make(http, whole, mine, password="right")
    place, body = urlsplit(link["url"]), b"password=wrong"
    head = f"POST {place.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    matches, checking, left = passwords.matches, threading.Semaphore(0), threading.Semaphore(0)

    def slow(given: str, known: str) -> bool:
        checking.release()
        assert left.acquire(timeout=10)
        return matches(given, known)

    def have_left(visitors: int) -> bool:
        return len([one for one in caplog.records if getattr(one, "client_gone", False)]) == visitors

    monkeypatch.setattr(passwords, "matches", slow)
    with caplog.at_level(logging.INFO, logger="access"):
        for number in range(1, 11):
            with socket.create_connection((place.hostname, place.port), timeout=10) as visitor:
                visitor.sendall(head + body)
                assert checking.acquire(timeout=10)
            wait_until(partial(have_left, number))
            left.release()
    monkeypatch.setattr(passwords, "matches", matches)
    right = {"password": "right"}
    wait_until(lambda: visit(link["url"], "POST", data=right, allow_redirects=False).status_code == 429)


def test_a_burst_of_guesses_is_slowed_down_too(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link = make(http, whole, mine, password="right")
    tried: list[int] = []

    def guess(number: int) -> None:
        tried.append(visit(link["url"], "POST", data={"password": str(number)}).status_code)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(tried) == {403, 429}
    assert 10 <= tried.count(403) <= 11  # two at once are checked


def test_a_form_that_is_too_large(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link = make(http, whole, mine, password="right")
    is_page(visit(link["url"], "POST", data={"password": "x" * 20_000}), 413)


def test_what_is_off_expired_unknown_or_gone_reads_the_same(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    link = make(http, whole, mine, direct=True)
    url = link["url"]
    texts = set()

    def gone(at: str = url) -> None:
        for where in (at, f"{at}/download"):
            shown = visit(where)
            is_page(shown, 404)
            texts.add(shown.text)

    gone(f"{whole.url}/links/{tokens.make()}")
    gone(f"{whole.url}/links/x%00")
    change(http, mine, link, active=False)
    gone()
    change(http, mine, link, active=True, expiration=moment(now() - timedelta(seconds=1)))
    gone()
    change(http, mine, link, expiration=moment(now() + timedelta(hours=1)))
    assert visit(url).content == CONTENT
    there = whole.folder(mine) / "report.pdf"
    there.rename(there.with_name("elsewhere"))
    gone()
    there.with_name("elsewhere").rename(there)
    account = f"{whole.url}/v1/accounts/{mine.account_id}"
    http.patch(account, json={"enabled": False}, headers=mine.key)
    gone()
    http.patch(account, json={"enabled": True}, headers=mine.key)
    assert visit(url).content == CONTENT
    http.delete(link["href"], headers=mine.bearer)
    gone()
    another = make(http, whole, mine)["url"]
    http.delete(account, headers=mine.key)
    gone(another)
    assert len(texts) == 1


def test_a_store_that_is_away_tells_visitors_nothing_of_it(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    link = make(http, whole, mine)
    PlainDouble.away = True
    for url in (link["url"], f"{link['url']}/download"):
        shown = visit(url)
        is_page(shown, 502)
        assert "10.1.2.3" not in shown.text


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.html", "a\"'&<b>.txt", "exe\u202egpj.scr", "%3Cb%3E", "漢字 🦊.txt"]
)
def test_names_are_shown_as_text(http: requests.Session, whole: Whole, mine: Connected, name: str) -> None:
    raw_id = name.replace("/", "_")
    (whole.folder(mine) / raw_id).write_bytes(b"x")
    link = make(http, whole, mine, file_id=file_id(http, whole, mine, raw_id))
    assert link["name"] == raw_id
    shown = visit(link["url"])
    is_page(shown)
    assert "\u202e" not in shown.text
    assert "<b>" not in shown.text
    assert visit(f"{link['url']}/download").content == b"x"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB (1,000 bytes)"),
        (999_999, "1.0 MB (999,999 bytes)"),
        (5 * 10**12, "5.0 TB (5,000,000,000,000 bytes)"),
        (3 * 10**21, "3000.0 EB (3,000,000,000,000,000,000,000 bytes)"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert f"<p>{text}</p>" in bytes(pages.offer("a", size, "/x").body).decode()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"file_id": None}, "file_id:"),
        ({"file_id": 5}, "file_id:"),
        ({"direct": "yes"}, "direct:"),
        ({"active": None}, "active:"),
        ({"password": ""}, "password:"),
        ({"password": 5}, "password:"),
        ({"password": "x" * 1025}, "password:"),
        ({"expiration": "tomorrow"}, "expiration:"),
        ({"expiration": 5}, "expiration:"),
        ({"expiration": "0001-01-01T00:00:00+14:00"}, "expiration:"),
    ],
)
def test_fields_of_the_wrong_type(
    http: requests.Session, whole: Whole, mine: Connected, given: dict[str, Any], named: str
) -> None:
    body = {"file_id": file_id(http, whole, mine), **given}
    answer = http.post(whole.storage(mine, "links"), json=body, headers=mine.bearer)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith(named)
    assert http.get(whole.storage(mine, "links"), headers=mine.bearer).json()["count"] == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2030-01-31", "2030-01-31T00:00:00.000000Z"),
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00.000000Z"),
        ("2030-01-31T12:00:00.5+02:00", "2030-01-31T10:00:00.500000Z"),
        (None, None),
    ],
)
def test_expirations(
    http: requests.Session, whole: Whole, mine: Connected, given: str | None, told: str | None
) -> None:
    assert make(http, whole, mine, expiration=given)["expiration"] == told


def test_what_has_no_link(http: requests.Session, whole: Whole, mine: Connected) -> None:
    link = make(http, whole, mine)
    (whole.folder(mine) / "sub").mkdir()
    other = whole.another_account(mine, service="rich_double")
    (whole.folder(other) / "report.pdf").write_bytes(b"theirs")
    theirs = file_id(http, whole, other)
    for missing in (
        "root",
        "made-up",
        theirs,
        file_id(http, whole, mine, "nothing"),
        file_id(http, whole, mine, "sub"),
    ):
        answer = http.post(whole.storage(mine, "links"), json={"file_id": missing}, headers=mine.bearer)
        assert answer.status_code == 404
    assert http.patch(link["href"], json={"file_id": theirs}, headers=mine.bearer).status_code == 400
    elsewhere = whole.storage(other, f"links/{link['id']}")
    for method in ("GET", "PATCH", "DELETE"):
        assert http.request(method, elsewhere, json={}, headers=mine.key).status_code == 404
    assert http.get(link["href"], headers=whole.connect().bearer).status_code == 404
    both = whole.storage(f"{mine.account_id},{other.account_id}", "links")
    assert [one["id"] for one in http.get(both, headers=mine.key).json()["objects"]] == [link["id"]]
    assert http.get(whole.storage(other, "links"), headers=mine.key).json()["objects"] == []


def test_a_link_follows_its_file(http: requests.Session, whole: Whole, mine: Connected) -> None:
    (whole.folder(mine) / "sub").mkdir()
    link = make(http, whole, mine, direct=True)
    file = whole.storage(mine, f"files/{link['file_id']}")
    renamed = http.patch(file, json={"name": "renamed.pdf"}, headers=mine.bearer).json()
    shown = http.get(link["href"], headers=mine.bearer).json()
    assert (shown["file_id"], shown["name"]) == (renamed["id"], "renamed.pdf")
    assert visit(link["url"]).content == CONTENT
    http.delete(renamed["href"], headers=mine.bearer)
    assert visit(link["url"]).status_code == 404
    (whole.folder(mine) / "renamed.pdf").write_bytes(b"another file of that name")
    assert visit(link["url"]).status_code == 404


def test_neither_password_nor_url_is_kept_in_the_clear(
    http: requests.Session, whole: Whole, mine: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    link = make(http, whole, mine, password="correct horse battery")
    secret = link["url"].rpartition("/")[2]
    assert len(secret) >= 43
    with caplog.at_level(logging.DEBUG):
        visit(link["url"])
        visit(link["url"], "POST", data={"password": "correct horse battery"})
    written = "\n".join(str(vars(r)) for r in caplog.records if not r.name.startswith("urllib3"))
    assert "/links/{token}" in written
    kept = [path.read_bytes() for path in Path(whole.settings.data).glob("*.db*")]
    for words in (secret, "correct horse battery"):
        assert words not in written
        assert not any(words.encode() in content for content in kept)

    async def verify(database: Database) -> int:
        async with database.session() as session:
            return await audit.verify(session)

    assert whole.work(verify) >= 1
