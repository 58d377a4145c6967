"""Properties, permissions, upload URLs, purging, and what an account says that it can."""

from collections.abc import Iterator
from typing import Any

import kloudless
import pytest
import requests

from connectors.interface import Permission, Role, Who
from gateway.api.errors import ApiError
from gateway.api.extras import grants, property_changes
from tests.gateway.api.folder_doubles import PlainDouble, RichDouble
from tests.gateway.api.served import Connected
from tests.gateway.api.whole import Whole


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    PlainDouble.away = RichDouble.lacks_properties = False
    RichDouble.purged.clear()


@pytest.fixture
def plain(whole: Whole) -> Connected:
    return whole.connect(service="plain_double")


@pytest.fixture
def rich(whole: Whole) -> Connected:
    return whole.connect(service="rich_double")


def entry(
    http: requests.Session, whole: Whole, mine: Connected, raw_id: str = "a.txt", kind: str = "file"
) -> str:
    """The URL of an entry, which is made if it is not there."""
    path = whole.folder(mine) / raw_id
    if kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
    return url_of(http, whole, mine, raw_id, kind)


def url_of(http: requests.Session, whole: Whole, mine: Connected, raw_id: str, kind: str = "file") -> str:
    asked = {"raw_id": raw_id, "type": kind}
    url = f"{whole.url}/v1/accounts/{mine.account_id}/encode_raw_id"
    found = http.post(url, json=asked, headers=mine.bearer).json()["id"]
    return whole.storage(mine, f"{kind}s/{found}")


def set_now(http: requests.Session, mine: Connected, file: str, **values: str | None) -> Any:
    body = [{"key": key, "value": value} for key, value in values.items()]
    answer = http.patch(f"{file}/properties", json=body, headers=mine.bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()["properties"]


def properties(http: requests.Session, mine: Connected, file: str) -> dict[str, str]:
    found = http.get(f"{file}/properties", headers=mine.bearer)
    assert found.status_code == 200, found.text
    return {one["key"]: one["value"] for one in found.json()["properties"]}


@pytest.mark.parametrize("service", ["plain_double", "rich_double"])
def test_the_published_client_keeps_properties(
    http: requests.Session, whole: Whole, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = whole.connect(service=service)
    monkeypatch.setitem(kloudless.configuration, "base_url", whole.url)
    with kloudless.Account(token=mine.token) as client:
        file = client.get(entry(http, whole, mine))
        assert file.get("properties").data == {"properties": []}
        set_first = file.patch("properties", json=[{"key": "b", "value": "2"}, {"key": "a", "value": "漢字"}])
        told = [(one["key"], one["value"]) for one in set_first.data["properties"]]
        assert all(one["created"] == one["modified"] for one in set_first.data["properties"])
        assert told == [("a", "漢字"), ("b", "2")]
        after = file.patch(
            "properties",
            json=[{"key": "a", "value": None}, {"key": "b", "value": "3"}, {"key": "x", "value": None}],
        )
        assert [(one["key"], one["value"]) for one in after.data["properties"]] == [("b", "3")]
        kept = after.data["properties"][0]
        if service == "plain_double":
            assert kept["modified"] > kept["created"]
        else:
            assert (kept["created"], kept["modified"]) == (None, None)
        file.delete("properties")
        assert file.get("properties").data == {"properties": []}


def test_a_server_that_keeps_none_after_all_leaves_it_to_us(
    http: requests.Session, whole: Whole, rich: Connected
) -> None:
    RichDouble.lacks_properties = True
    file = entry(http, whole, rich)
    set_now(http, rich, file, colour="blue")
    assert properties(http, rich, file) == {"colour": "blue"}
    assert http.delete(f"{file}/properties", headers=rich.bearer).status_code == 204
    assert properties(http, rich, file) == {}


def test_our_properties_follow_renames_moves_and_copies(
    http: requests.Session, whole: Whole, plain: Connected
) -> None:
    file, other = entry(http, whole, plain, "in/deep/a.txt"), entry(http, whole, plain, "in/b.txt")
    set_now(http, plain, file, colour="blue")
    set_now(http, plain, other, colour="red")
    renamed = http.patch(file, json={"name": "c.txt"}, headers=plain.bearer).json()
    assert properties(http, plain, renamed["href"]) == {"colour": "blue"}
    folder = url_of(http, whole, plain, "in", "folder")
    moved = http.patch(folder, json={"name": "out"}, headers=plain.bearer)
    assert moved.status_code == 200
    assert properties(http, plain, url_of(http, whole, plain, "out/deep/c.txt")) == {"colour": "blue"}
    copied = http.post(
        f"{moved.json()['href']}/copy", json={"parent_id": "root", "name": "twin"}, headers=plain.bearer
    )
    assert copied.status_code == 201
    for place in ("out", "twin"):
        assert properties(http, plain, url_of(http, whole, plain, f"{place}/b.txt")) == {"colour": "red"}
    one = url_of(http, whole, plain, "twin/b.txt")
    http.post(f"{one}/copy", json={"parent_id": "root"}, headers=plain.bearer)
    assert properties(http, plain, url_of(http, whole, plain, "b.txt")) == {"colour": "red"}


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_our_properties_end_with_the_file(
    http: requests.Session, whole: Whole, plain: Connected, what: str
) -> None:
    file = entry(http, whole, plain, "in/a.txt")
    set_now(http, plain, file, colour="blue")
    gone = file if what == "the file" else url_of(http, whole, plain, "in", "folder")
    assert http.delete(f"{gone}?recursive=true", headers=plain.bearer).status_code == 204
    assert http.get(f"{file}/properties", headers=plain.bearer).status_code == 404
    entry(http, whole, plain, "in/a.txt")
    assert properties(http, plain, file) == {}


def test_properties_of_what_is_not_there(http: requests.Session, whole: Whole, plain: Connected) -> None:
    nothing = url_of(http, whole, plain, "nothing")
    other = entry(http, whole, whole.connect(service="plain_double"))
    folder = entry(http, whole, plain, "sub", "folder").replace("/folders/", "/files/")
    for file in (nothing, folder):
        for method, body in (("GET", None), ("PATCH", [{"key": "a", "value": "b"}]), ("DELETE", None)):
            answer = http.request(method, f"{file}/properties", json=body, headers=plain.bearer)
            assert answer.status_code == 404
    assert http.get(f"{other}/properties", headers=plain.bearer).status_code == 404


def test_a_file_keeps_a_hundred(http: requests.Session, whole: Whole, plain: Connected) -> None:
    file = entry(http, whole, plain)
    set_now(http, plain, file, **{f"key {n}": "x" * 10_000 for n in range(100)})
    answer = http.patch(f"{file}/properties", json=[{"key": "more", "value": "x"}], headers=plain.bearer)
    assert answer.status_code == 400
    assert len(properties(http, plain, file)) == 100


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"key": "a", "value": "b"}, "body:"),
        ("text", "body:"),
        (None, "body:"),
        (["a"], "body:"),
        ([{"value": "b"}], "key:"),
        ([{"key": "", "value": "b"}], "key:"),
        ([{"key": "x" * 256, "value": "b"}], "key:"),
        ([{"key": "a\nb", "value": "b"}], "key:"),
        ([{"key": 1, "value": "b"}], "key:"),
        ([{"key": "a"}], "value:"),
        ([{"key": "a", "value": 1}], "value:"),
        ([{"key": "a", "value": "x" * 10_001}], "value:"),
        ([{"key": str(n), "value": ""} for n in range(101)], "body:"),
    ],
)
def test_what_sets_no_properties(given: Any, named: str) -> None:
    with pytest.raises(ApiError) as caught:
        property_changes(given)
    assert caught.value.status == 400
    assert caught.value.message.startswith(named)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_permissions_are_shown_added_and_replaced(
    http: requests.Session, whole: Whole, rich: Connected, kind: str
) -> None:
    url = f"{entry(http, whole, rich, f'a {kind}', kind)}/permissions"
    owner = {"type": "user", "role": "owner", "id": "1", "email": "ann@example.com"}
    bob = {"type": "user", "role": "writer", "id": None, "email": "bob@example.com"}
    everyone = {"type": "anyone", "role": "reader", "id": None, "email": None}
    assert http.get(url, headers=rich.bearer).json() == {"permissions": [owner]}
    added = http.patch(url, json=[{"type": "anyone", "role": "reader"}], headers=rich.bearer)
    assert added.json() == {"permissions": [owner, everyone]}
    replaced = http.put(url, json={"bob@example.com": "writer"}, headers=rich.bearer)
    assert replaced.json() == {"permissions": [bob]}
    again = http.put(url, json=http.get(url, headers=rich.bearer).json(), headers=rich.bearer)
    assert again.json() == {"permissions": [bob]}
    refused = http.patch(url, json=[{"type": "group", "role": "reader", "id": "g"}], headers=rich.bearer)
    assert (refused.status_code, refused.json()["error_code"]) == (501, "not_implemented")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], []),
        ({}, []),
        ({"a@x": "reader"}, [Permission(Who.USER, Role.READER, email="a@x")]),
        ([{"id": "5", "role": "owner"}], [Permission(Who.USER, Role.OWNER, id="5")]),
        ({"permissions": [{"type": "anyone", "role": "writer"}]}, [Permission(Who.ANYONE, Role.WRITER)]),
    ],
)
def test_forms_of_permissions(given: Any, wanted: list[Permission]) -> None:
    assert grants(given) == wanted


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("all", "body:"),
        ([1], "body:"),
        ([{"type": "user", "email": "a@x"}], "role:"),
        ([{"role": "reader"}], "email, id:"),
        ([{"role": "admin", "email": "a@x"}], "role:"),
        ([{"role": "reader", "type": "robot", "id": "r"}], "type:"),
        ({"nobody": "reader"}, "email:"),
        ({"a@x": 5}, "role:"),
        ({"a@x": "reader", "permissions": "reader"}, "email:"),
    ],
)
def test_what_sets_no_permissions(given: Any, named: str) -> None:
    with pytest.raises(ApiError) as caught:
        grants(given)
    assert caught.value.message.startswith(named)


def test_what_a_store_lacks_is_501_and_says_which(
    http: requests.Session, whole: Whole, plain: Connected
) -> None:
    file = entry(http, whole, plain)
    body = {"parent_id": "root", "name": "x"}
    for answer in (
        http.get(f"{file}/permissions", headers=plain.bearer),
        http.put(f"{file}/permissions", json=[], headers=plain.bearer),
        http.post(whole.storage(plain, "files/upload_url"), json=body, headers=plain.bearer),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (501, "not_implemented")
        assert answer.json()["message"].startswith("the plain_double connector can't")


def test_an_upload_url(http: requests.Session, whole: Whole, rich: Connected) -> None:
    entry(http, whole, rich, "taken")
    url = whole.storage(rich, "files/upload_url")

    def ask(name: str, query: str = "", **given: Any) -> requests.Response:
        return http.post(url + query, json={"parent_id": "root", "name": name, **given}, headers=rich.bearer)

    signed = {"method": "PUT", "headers": {"x-type": "blob"}}
    assert ask("new").json() == {"url": "https://store.example//new?expires=3600", **signed}
    assert ask("taken").status_code == 409
    assert ask("taken", "?overwrite=true").json()["url"] == "https://store.example//taken?expires=3600"
    assert ask("a/b").status_code == 400
    assert ask("new", parent_id="made-up").status_code == 404
    assert ask("refused").status_code == 403


def test_permanent_goes_past_the_bin_where_there_is_one(
    http: requests.Session, whole: Whole, rich: Connected, plain: Connected
) -> None:
    for mine in (rich, plain):
        for raw_id, query in (("a", ""), ("b", "?permanent=false"), ("c", "?permanent=true")):
            assert (
                http.delete(entry(http, whole, mine, raw_id) + query, headers=mine.bearer).status_code == 204
            )
        folder = entry(http, whole, mine, "d", "folder")
        entry(http, whole, mine, "d/e")
        assert http.delete(f"{folder}?permanent=true", headers=mine.bearer).status_code == 409
        deleted = http.delete(f"{folder}?permanent=true&recursive=true", headers=mine.bearer)
        assert deleted.status_code == 204
        assert list(whole.folder(mine).iterdir()) == []
    assert RichDouble.purged == ["c", "d"]
    bad = http.delete(entry(http, whole, rich) + "?permanent=maybe", headers=rich.bearer)
    assert bad.status_code == 400


@pytest.mark.parametrize(
    ("service", "able"),
    [
        ("plain_double", set()),
        ("parts_double", {"multipart_uploads_supported_for_files"}),
        ("rich_double", {"permissions_supported_for_files"}),
    ],
)
def test_capabilities_are_what_works(
    http: requests.Session, whole: Whole, service: str, able: set[str]
) -> None:
    mine = whole.connect(service=service)
    found = http.get(f"{whole.url}/v1/accounts/me?retrieve_full=true", headers=mine.bearer).json()
    told = {name for name, one in found["properties"]["capabilities"].items() if one["value"]}
    sometimes = {"multipart_uploads_supported_for_files", "permissions_supported_for_files"}
    assert told & sometimes == able
    assert told >= {"can_list_properties", "properties_supported_for_files", "can_delete_all_properties"}
    assert told >= {"can_copy_folder", "can_move_folder", "can_create_folder"}
    assert "can_list_users" not in told


def test_the_quota_is_told_where_it_can_be_had(
    http: requests.Session, whole: Whole, rich: Connected, plain: Connected
) -> None:
    url = f"{whole.url}/v1/accounts/me?retrieve_full=true"
    found = http.get(url, headers=rich.bearer).json()["properties"]
    assert found["quota"] == {"total": 1000, "used": 400, "free": 600}
    assert "quota" not in http.get(url, headers=plain.bearer).json()["properties"]
    PlainDouble.away = True
    away = http.get(url, headers=rich.bearer)
    assert away.status_code == 200
    assert "quota" not in away.json()["properties"]


@pytest.mark.parametrize("moves", [False, True])
def test_our_properties_go_to_another_account_too(
    http: requests.Session, whole: Whole, plain: Connected, moves: bool
) -> None:
    other = whole.another_account(plain, service="plain_double")
    file = entry(http, whole, plain, "in/a.txt")
    set_now(http, plain, file, colour="blue")
    folder = url_of(http, whole, plain, "in", "folder")
    wanted: dict[str, Any] = {"parent_id": "root", "account": other.account_id}
    if moves:
        made = http.patch(folder, json=wanted, headers=plain.key)
    else:
        made = http.post(f"{folder}/copy", json=wanted, headers=plain.key)
    assert made.status_code in (200, 201), made.text
    assert properties(http, other, url_of(http, whole, other, "in/a.txt")) == {"colour": "blue"}
    entry(http, whole, plain, "in/a.txt")
    assert properties(http, plain, file) == ({} if moves else {"colour": "blue"})
