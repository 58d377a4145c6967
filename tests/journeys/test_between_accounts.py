"""Copies and moves between accounts, and tasks that do them, on a real gateway by its published client."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kloudless
import pytest
import requests
from kloudless import exceptions

from tests.journeys.folders import Account, Folders, folders, until

pytestmark = [pytest.mark.journey]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    with folders(tmp_path_factory.mktemp("between")) as made:
        yield made


@pytest.fixture(scope="module")
def one(gateway: Folders) -> Account:
    return gateway.add("one")


@pytest.fixture(scope="module")
def two(gateway: Folders) -> Account:
    return gateway.add("two")


@pytest.fixture
def both(one: Account, two: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {one.token},{two.token}"}


def filled(account: Account, name: str) -> dict[str, bytes]:
    """A folder of that name with some in it; its files by their paths."""
    made: dict[str, bytes] = {}
    for path in ("1", "sub/2", "sub/deeper/3 ä", "empty/"):
        at = account.folder / name / path
        at.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            at.mkdir()
        else:
            at.write_bytes(made.setdefault(path, os.urandom(300_000)))
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def id_of(account: Account, path: str, kind: str) -> str:
    made = requests.post(
        f"{account.url}/encode_raw_id",
        json={"raw_id": path, "type": kind},
        headers=account.bearer,
        timeout=10,
    )
    return str(made.json()["id"])


def test_a_file_is_copied_to_another_account(
    gateway: Folders, one: Account, two: Account, both: dict[str, str]
) -> None:
    data = os.urandom(3_000_001)
    (one.folder / "f.bin").write_bytes(data)
    url = f"{one.url}/storage/files/{id_of(one, 'f.bin', 'file')}/copy"
    names = []
    for headers, account in ((both, two.id), (gateway.key, str(two.id))):
        made = requests.post(url, json={"parent_id": "root", "account": account}, headers=headers, timeout=30)
        assert made.status_code == 201, made.text
        assert (made.json()["account"], made.json()["size"]) == (two.id, len(data))
        assert made.json()["href"].startswith(two.url)
        names.append(made.json()["name"])
    assert names == ["f.bin", "f (1).bin"]
    assert all((two.folder / name).read_bytes() == data for name in names)
    assert (one.folder / "f.bin").read_bytes() == data


def test_both_accounts_must_be_the_callers(gateway: Folders, one: Account, two: Account) -> None:
    (one.folder / "mine").write_bytes(b"x")
    url = f"{one.url}/storage/files/{id_of(one, 'mine', 'file')}"
    for method, path in (("POST", f"{url}/copy"), ("PATCH", url)):
        body: Any = {"parent_id": "root", "account": two.id}
        refused = requests.request(method, path, json=body, headers=one.bearer, timeout=10)
        assert (refused.status_code, refused.json()["error_code"]) == (404, "not_found")
    assert not (two.folder / "mine").exists()
    assert (one.folder / "mine").exists()


def test_a_folder_is_copied_with_all_in_it(one: Account, two: Account, both: dict[str, str]) -> None:
    files = filled(one, "tree")
    made = requests.post(
        f"{one.url}/storage/folders/{id_of(one, 'tree', 'folder')}/copy",
        json={"parent_id": "root", "account": two.id, "name": "copied"},
        headers=both,
        timeout=30,
    )
    assert (made.status_code, made.json()["type"], made.json()["name"]) == (201, "folder", "copied")
    assert content(two.folder / "copied") == content(one.folder / "tree") == files
    assert (two.folder / "copied" / "empty").is_dir()


def test_a_folder_is_copied_within_an_account(one: Account) -> None:
    files = filled(one, "within")
    client = one.client()
    folder = client.get(f"storage/folders/{id_of(one, 'within', 'folder')}")
    assert folder.data["can_copy"]
    copy = folder.post("copy", json={"parent_id": "root"})
    assert copy.data["name"] == "within (1)"
    assert content(one.folder / "within (1)") == files
    with pytest.raises(exceptions.APIException) as caught:
        folder.post("copy", json={"parent_id": id_of(one, "within/sub", "folder")})
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_move_takes_all_of_it_along(one: Account, two: Account, both: dict[str, str], kind: str) -> None:
    name = f"moved {kind}"
    if kind == "folder":
        filled(one, name)
    else:
        (one.folder / name).write_bytes(os.urandom(500_000))
    before = content(one.folder / name) if kind == "folder" else (one.folder / name).read_bytes()
    url = f"{one.url}/storage/{kind}s/{id_of(one, name, kind)}"
    moved = requests.patch(url, json={"parent_id": "root", "account": two.id}, headers=both, timeout=30)
    assert moved.status_code == 200, moved.text
    assert moved.json()["account"] == two.id
    after = content(two.folder / name) if kind == "folder" else (two.folder / name).read_bytes()
    assert after == before
    assert not (one.folder / name).exists()
    assert requests.get(url, headers=one.bearer, timeout=10).status_code == 404


def test_a_move_to_a_taken_name_changes_nothing(one: Account, two: Account, both: dict[str, str]) -> None:
    (one.folder / "taken").write_bytes(b"1")
    (two.folder / "taken").write_bytes(b"2")
    url = f"{one.url}/storage/files/{id_of(one, 'taken', 'file')}"
    refused = requests.patch(url, json={"parent_id": "root", "account": two.id}, headers=both, timeout=30)
    assert (refused.status_code, refused.json()["error_code"]) == (409, "item_exists")
    refused = requests.patch(url, json={"account": two.id}, headers=both, timeout=30)
    assert (refused.status_code, refused.json()["message"]) == (400, "parent_id: is missing")
    assert ((one.folder / "taken").read_bytes(), (two.folder / "taken").read_bytes()) == (b"1", b"2")


# tasks


def ended(client: Any, task: Any) -> dict[str, Any]:
    def look() -> Any:
        found = client.get(f"tasks/{task['id']}").data
        return found if found["state"] in ("SUCCESS", "FAILURE") else None

    found: dict[str, Any] = until(look)
    return found


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_copy_as_a_task(one: Account, way: str) -> None:
    files = filled(one, f"by {way}")
    client = one.client()
    asked: dict[str, Any] = {"headers": {"X-Kloudless-Async": "true"}}
    if way == "query":
        asked = {"params": {"return_type": "task"}}
    folder = id_of(one, f"by {way}", "folder")
    begun = client.post(
        f"storage/folders/{folder}/copy", json={"parent_id": "root", "name": f"copy by {way}"}, **asked
    )
    assert begun.response.status_code == 202
    assert begun.data["state"] == "PENDING"
    assert begun.response.headers["Location"] == begun.data["href"]
    task = ended(client, begun.data)
    assert task["state"] == "SUCCESS", task
    assert task["progress"] == {"bytes": 0, "total": None, "entries": 1}  # the store's own copy
    assert (task["id"], task["type"], task["result"]["type"]) == (begun.data["id"], "task", "folder")
    assert task["result"]["name"] == task["name"] == f"copy by {way}"
    assert content(one.folder / f"copy by {way}") == files
    assert client.get(f"storage/folders/{task['result']['id']}").data["name"] == f"copy by {way}"
    assert client.delete(f"tasks/{task['id']}").status_code == 204
    with pytest.raises(exceptions.NotFoundException):
        client.get(f"tasks/{task['id']}")


def test_moves_and_deletes_as_tasks(one: Account, two: Account, both: dict[str, str]) -> None:
    filled(one, "leaving")
    client = one.client()
    url = f"{one.url}/storage/folders/{id_of(one, 'leaving', 'folder')}?return_type=task"
    body: Any = {"parent_id": "root", "account": two.id}
    begun = requests.patch(url, json=body, headers=both, timeout=10)
    task = ended(client, begun.json())
    assert (task["state"], task["result"]["account"], task["operation"]) == ("SUCCESS", two.id, "move_across")
    assert task["progress"] == {"bytes": 900_000, "total": None, "entries": 7}
    assert not (one.folder / "leaving").exists()

    there = f"{two.url}/storage/folders/{task['result']['id']}?return_type=task"
    renamed = ended(
        two.client(), requests.patch(there, json={"name": "left"}, headers=both, timeout=10).json()
    )
    assert (renamed["state"], renamed["result"]["name"]) == ("SUCCESS", "left")

    there = f"{two.url}/storage/folders/{renamed['result']['id']}?return_type=task"
    failed = ended(two.client(), requests.delete(there, headers=both, timeout=10).json())
    assert (failed["state"], failed["error"]["status_code"]) == ("FAILURE", 409)
    assert set(failed["error"]) == {"status_code", "error_code", "message", "id"}
    assert failed["error"]["id"]
    gone = ended(two.client(), requests.delete(f"{there}&recursive=true", headers=both, timeout=10).json())
    assert gone["state"] == "SUCCESS"
    assert not (two.folder / "left").exists()


def test_a_task_is_its_accounts_alone(one: Account, two: Account) -> None:
    begun = one.client().delete("storage/files/made-up", params={"return_type": "task"})
    task = begun.json()
    assert begun.status_code == 202
    for method in ("GET", "DELETE"):
        refused = requests.request(method, f"{two.url}/tasks/{task['id']}", headers=two.bearer, timeout=10)
        assert refused.status_code == 404
    failed = ended(one.client(), task)
    assert failed["error"]["error_code"] == "not_found"


def test_what_can_be_no_task_says_so(one: Account) -> None:
    with pytest.raises(exceptions.APIException) as caught:
        one.client().get("storage/folders/root", params={"return_type": "task"})
    assert caught.value.status == 501
    assert isinstance(kloudless.Account(token=one.token), kloudless.Account)
