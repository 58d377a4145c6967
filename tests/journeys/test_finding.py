"""Search, recent files and recursive listings, on a real gateway by its published client."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import kloudless
import pytest
import requests

from tests.journeys.folders import Account, Folders, folders, until

pytestmark = [pytest.mark.journey]
FILES = ["a/Report 1.PDF", "a/b/report 2.pdf", "Zürich/REPÓRT.txt", "other.txt", "a/reports/x"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    settings = {"walk_entries": 500, "recent_entries": 40}
    with folders(tmp_path_factory.mktemp("finding"), **settings) as made:
        yield made


@pytest.fixture(scope="module")
def account(gateway: Folders) -> Account:
    made = gateway.add("main")
    for number, path in enumerate(FILES):
        file = made.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        os.utime(file, (1_700_000_000 + number, 1_700_000_000 + number))
    return made


@pytest.fixture(scope="module")
def wide(gateway: Folders) -> Account:
    """3,000 files in 30 folders: six walks of 500."""
    made = gateway.add("wide")
    for number in range(3000):
        file = made.folder / f"d{number % 30}" / f"{number}.{'yes' if number % 10 == 0 else 'no'}"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return made


def get(account: Account, path: str, **query: Any) -> requests.Response:
    return requests.get(
        f"{account.url}/storage/{path}",
        params=query,
        headers=account.bearer,
        timeout=30,
    )


def test_a_file_is_found_whatever_the_case_of_its_name(account: Account) -> None:
    found = account.client().get("storage/search", params={"q": "rEPORT"})
    assert sorted(o.data["path"] for o in found) == ["/a/Report 1.PDF", "/a/b/report 2.pdf", "/a/reports"]
    assert (found.data["complete"], found.data["stopped"], found.data["next_page"]) == (True, None, None)
    assert [o.data["name"] for o in account.client().get("storage/search", params={"q": "repo\u0301rt"})] == [
        "REPÓRT.txt"
    ]


def test_a_search_below_some_folders(account: Account) -> None:
    below = {o.data["name"]: o.data["id"] for o in account.client().get("storage/folders/root/contents")}
    inside = get(account, "search", q="report", parents=below["a"]).json()
    assert inside["count"] == 3
    two = get(account, "search", q="r", parents=f"{below['a']},{below['Zürich']}").json()
    assert two["count"] == 4
    assert get(account, "search", q="report", parents="made-up").status_code == 404


@pytest.mark.parametrize("size", [7, 1000])
def test_a_walk_that_stops_says_so_and_goes_on(wide: Account, size: int) -> None:
    page: Any = "1"
    names: list[str] = []
    stops = 0
    while page is not None:
        found = get(wide, "search", q=".YES", page=page, page_size=size).json()
        names += [entry["name"] for entry in found["objects"]]
        page = found["next_page"]
        assert found["complete"] == (page is None)
        if found["stopped"]:
            assert found["stopped"] == "after 500 entries"
            stops += 1
    assert len(names) == len(set(names)) == 300
    assert stops >= (6 if size == 1000 else 0)


def test_its_paging_iterator_sees_all_of_a_walk_that_stops(wide: Account) -> None:
    found = wide.client().get("storage/search", params={"q": "YES", "page_size": 100})
    assert len({o.data["id"] for o in found.get_paging_iterator()}) == 300


def test_a_recursive_listing_sees_all(account: Account, wide: Account) -> None:
    found = account.client().get("storage/folders/root/contents", params={"recursive": "true"})
    assert sorted(o.data["path"] for o in found) == sorted(
        ["/a", "/a/b", "/a/reports", "/Zürich", *(f"/{path}" for path in FILES)]
    )
    listed = wide.client().get("storage/folders/root/contents", params={"recursive": "true"})
    assert len({o.data["id"] for o in listed.get_paging_iterator()}) == 3030


def test_several_accounts_are_searched_together(gateway: Folders, account: Account, wide: Account) -> None:
    url = f"{gateway.url}/v1/accounts/{account.id},{wide.id}/storage/search"
    both = {"Authorization": f"Bearer {account.token},{wide.token}"}
    for headers in (gateway.key, both):
        page, seen = "1", []
        while page is not None:
            found = requests.get(url, params={"q": "re", "page": page}, headers=headers, timeout=30).json()
            seen += [(entry["account"], entry["name"]) for entry in found["objects"]]
            page = found["next_page"]
        assert sorted(seen) == [
            (account.id, "REPÓRT.txt"),
            (account.id, "Report 1.PDF"),
            (account.id, "report 2.pdf"),
            (account.id, "reports"),
        ]


@pytest.mark.parametrize("page", ["0", "x", "MC53LmFiYw", "MC53Lg", "MC4", "OTk5OS4"])
def test_a_made_up_page_is_no_failure(account: Account, page: str) -> None:
    assert get(account, "search", q="x", page=page).status_code in (200, 400)


def test_recent_files_are_off_until_the_developer_switches_them_on(
    gateway: Folders, account: Account, wide: Account
) -> None:
    refused = get(account, "recent")
    assert refused.status_code == 403
    assert '"recent_enabled": true' in refused.json()["message"]
    gateway.switch(recent_enabled=True)
    until(lambda: get(account, "recent").status_code == 200)

    found = get(account, "recent").json()
    assert [entry["path"].lstrip("/") for entry in found["objects"]] == FILES[::-1]
    assert (found["total"], found["page"], found["next_page"], found["complete"]) == (5, 1, None, True)

    paged = account.client().get("storage/recent", params={"page_size": 2})
    assert [o.data["path"].lstrip("/") for o in paged.get_paging_iterator()] == FILES[::-1]
    assert get(account, "recent", page=0).status_code == 400
    assert get(account, "recent", page=4, page_size=2).status_code == 404
    assert get(account, "recent", page_size=1001).status_code == 400

    after = get(account, "recent", after="2023-11-14T22:13:23Z").json()
    assert [entry["path"].lstrip("/") for entry in after["objects"]] == FILES[:2:-1]
    for bad in ("yesterday", "", "2023-13-45"):
        nothing = get(account, "recent", after=bad)
        assert (nothing.status_code, nothing.json()["objects"], nothing.json()["total"]) == (200, [], 0)

    bounded = get(wide, "recent", page_size=1000).json()
    assert (bounded["count"], bounded["total"], bounded["complete"]) == (40, 40, False)
    assert bounded["stopped"] == "after 500 entries"

    url = f"{gateway.url}/v1/accounts/{account.id},{wide.id}/storage/recent"
    merged = requests.get(url, params={"page_size": 40}, headers=gateway.key, timeout=30).json()
    dates = [entry["modified"] for entry in merged["objects"]]
    assert dates == sorted(dates, reverse=True)
    assert {entry["account"] for entry in merged["objects"]} == {wide.id}


def test_a_client_that_leaves_ends_nothing_for_others(gateway: Folders, wide: Account) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", gateway.port)) as leaving:
            path = f"/v1/accounts/{wide.id}/storage/search?q=never"
            leaving.sendall(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wide.token}\r\n\r\n".encode()
            )
    assert get(wide, "search", q="D29").json()["objects"][0]["name"] == "d29"
    assert "bug of ours" not in gateway.log()


def test_services_are_listed_for_whoever_asks(gateway: Folders) -> None:
    url = f"{gateway.url}/v1/public/services"
    found = requests.get(url, params={"apis": "storage", "app_id": gateway.app["id"]}, timeout=10).json()
    by_name = {service["name"]: service for service in found["objects"]}
    assert {"local", "sftp", "webdav"} <= set(by_name)
    assert by_name["sftp"]["friendly_name"]
    assert by_name["sftp"]["category"] == "file_store"
    password = by_name["sftp"]["settings"]["properties"]["password"]
    assert {"format": "password", "type": "string", "writeOnly": True} in password["anyOf"]
    assert requests.get(url, params={"apis": "calendar"}, timeout=10).json()["objects"] == []


def test_the_command_line_lists_connectors_with_their_settings(gateway: Folders) -> None:
    listed = {one["name"]: one for one in gateway.isthmus("connectors", "list")["connectors"]}
    assert listed["local"]["installed"]
    assert {"mkdir", "move"} <= set(listed["local"]["capabilities"])
    assert listed["local"]["settings"]["properties"]["root"]["type"] == "string"


def test_teams_name_the_connector(account: Account) -> None:
    refused = requests.get(f"{account.url}/team/users", headers=account.bearer, timeout=10)
    assert refused.status_code == 501
    assert "local" in refused.json()["message"]


def test_headers_for_a_store_that_takes_none(account: Account) -> None:
    with pytest.raises(kloudless.exceptions.APIException) as caught:
        account.client().get("storage/folders/root", headers={"X-Kloudless-Raw-Headers": '{"X-Trace": "1"}'})
    assert caught.value.status == 501
    assert "local" in caught.value.error_data["message"]
