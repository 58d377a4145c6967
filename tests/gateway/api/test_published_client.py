"""The unmodified PyPI package `kloudless==2.0.1` does all of it, against the served api."""

import json
import os

import kloudless
import pytest
from kloudless import exceptions

from connectors.interface import NetworkUnavailable, NotPermitted, Throttled
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway


def test_a_folder_is_listed_with_files_and_folders(
    client: kloudless.Account, worker: FakeWorker, mine: Connected
) -> None:
    worker.put(mine.account_id, "report.pdf", b"12345")
    worker.put(mine.account_id, "photos", None)
    listed = client.get("storage/folders/root/contents")
    assert [(o.data["name"], o.data["type"]) for o in listed] == [
        ("photos", "folder"),
        ("report.pdf", "file"),
    ]
    file = listed.objects[1].data
    assert file["size"] == 5
    assert file["account"] == mine.account_id
    assert file["modified"] == "2026-01-02T03:04:05.000678Z"
    assert file["mime_type"] == "application/pdf"
    assert file["parent"]["id"] == "root"


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_its_paging_iterator_sees_every_entry_once(
    client: kloudless.Account, worker: FakeWorker, mine: Connected, count: int
) -> None:
    for number in range(count):
        worker.put(mine.account_id, f"{number:02}.txt", b"")
    listed = client.get("storage/folders/root/contents", params={"page_size": 3})
    names = [resource.data["name"] for resource in listed.get_paging_iterator()]
    assert names == [f"{number:02}.txt" for number in range(count)]


def test_its_iterator_ends_after_one_page(client: kloudless.Account) -> None:
    with pytest.raises(exceptions.NoNextPage):
        client.get("storage/folders/root/contents").get_next_page()


def test_accounts_are_paged_too(gateway: Gateway, mine: Connected, client: kloudless.Account) -> None:
    others = [gateway.another_account(mine) for _ in range(4)]
    with kloudless.Client(api_key=mine.api_key) as whole:
        listed = whole.get("accounts", params={"page_size": 2})
        assert listed.data["total"] == 5
        found = [resource.data["id"] for resource in listed.get_paging_iterator()]
    assert found == [mine.account_id, *(other.account_id for other in others)]


def test_bytes_come_back_as_they_went(client: kloudless.Account) -> None:
    content = os.urandom(3_000_001)
    metadata = json.dumps({"name": "Zürich 100%+ “q” 漢字.bin", "parent_id": "root"})
    made = client.post("storage/files", data=content, headers={"X-Kloudless-Metadata": metadata})
    assert made.data["name"] == "Zürich 100%+ “q” 漢字.bin"
    assert made.data["size"] == len(content)
    response = made.get("contents")
    assert b"".join(response.iter_content(100_000)) == content


def test_an_upload_of_unknown_length_is_streamed(client: kloudless.Account) -> None:
    pieces = [os.urandom(70_000) for _ in range(20)]
    metadata = json.dumps({"name": "chunked", "parent_id": "root"})
    made = client.post("storage/files", data=iter(pieces), headers={"X-Kloudless-Metadata": metadata})
    assert made.get("contents").content == b"".join(pieces)


def test_a_form_upload_as_its_users_write_it(client: kloudless.Account) -> None:
    made = client.post(
        "storage/files",
        data={"metadata": json.dumps({"name": "form.txt", "parent_id": "root"})},
        files={"file": ("x", b"by form")},
    )
    assert made.get("contents").content == b"by form"


def test_a_resource_is_renamed_moved_copied_replaced_deleted(client: kloudless.Account) -> None:
    folder = client.post("storage/folders", json={"name": "sub", "parent_id": "root"})
    metadata = json.dumps({"name": "a.txt", "parent_id": "root"})
    file = client.post("storage/files", data=b"1", headers={"X-Kloudless-Metadata": metadata})
    renamed = file.patch(json={"name": "b.txt"})
    assert renamed.data["name"] == "b.txt"
    moved = renamed.patch(json={"parent_id": folder.data["id"]})
    assert moved.data["parent"]["name"] == "sub"
    copy = moved.post("copy", json={"parent_id": "root", "name": "c.txt"})
    assert copy.data["name"] == "c.txt"
    replaced = copy.put(data=b"22")
    assert replaced.data["size"] == 2
    copy.delete()
    with pytest.raises(exceptions.NotFoundException):
        copy.refresh()
    assert folder.delete(params={"recursive": "true"}).response.status_code == 204


def test_a_folder_is_made_once(client: kloudless.Account) -> None:
    first = client.post("storage/folders", json={"name": "sub", "parent_id": "root"})
    again = client.post("storage/folders", json={"name": "sub", "parent_id": "root"})
    assert again.data["id"] == first.data["id"]
    with pytest.raises(exceptions.APIException) as caught:
        client.post("storage/folders?conflict_if_exists=true", json={"name": "sub", "parent_id": "root"})
    assert caught.value.status == 409
    assert caught.value.error_data["error_code"] == "item_exists"


def test_a_token_is_verified(client: kloudless.Account, mine: Connected) -> None:
    facts = kloudless.application.verify_token(mine.application_id, mine.token)
    assert facts == {
        "client_id": mine.application_id,
        "account_id": mine.account_id,
        "scope": "all",
        "expires_in": None,
    }
    assert kloudless.get_verified_account(mine.application_id, mine.token).account_id == "me"
    with pytest.raises(exceptions.TokenVerificationFailed):
        kloudless.application.verify_token("another", mine.token)


def test_raw_data_and_raw_ids(client: kloudless.Account, worker: FakeWorker, mine: Connected) -> None:
    folder = worker.put(mine.account_id, "sub", None)
    file = worker.put(mine.account_id, "a.txt", b"1", folder)
    found = client.get(f"storage/files/{file.id}", get_raw_data=True)
    assert found.data["raw_id"] == "sub/a.txt"
    assert found.data["raw"]["size"] == 1
    assert "raw" not in client.get(f"storage/files/{file.id}").data
    encoded = client.post("encode_raw_id", json={"raw_id": "sub/a.txt", "type": "file"})
    assert encoded.data["id"] == file.id


def test_its_errors_are_told_apart(
    client: kloudless.Account, worker: FakeWorker, mine: Connected, gateway: Gateway
) -> None:
    with pytest.raises(exceptions.NotFoundException) as missing:
        client.get("storage/files/nothing")
    assert missing.value.error_data["id"] == missing.value.response.headers["X-Request-ID"]
    worker.fails = NotPermitted("the store says no")
    with pytest.raises(exceptions.ForbiddenException):
        client.get("storage/folders/root")
    worker.fails = Throttled("later", retry_after=7)
    with pytest.raises(exceptions.RateLimitException) as limited:
        client.get("storage/folders/root")
    assert limited.value.retry_after == 7.0
    worker.fails = NetworkUnavailable("no agent of network 'office' is connected")
    with pytest.raises(exceptions.ServerException) as away:
        client.get("storage/folders/root")
    assert away.value.status == 503
    assert away.value.error_data["error_code"] == "network_unavailable"
    with kloudless.Account(token="made-up") as stranger, pytest.raises(exceptions.AuthorizationException):
        stranger.get()


def test_an_account_with_its_capabilities(client: kloudless.Account, mine: Connected) -> None:
    found = client.get(params={"retrieve_full": "true"})
    assert found.data["id"] == mine.account_id
    assert found.data["service"] == "local"
    assert found.data["properties"]["capabilities"]["can_upload_file"] == {"value": True}
    assert found.data["properties"]["capabilities"]["can_list_users"] == {"value": False}


def test_an_account_is_removed(client: kloudless.Account, worker: FakeWorker, mine: Connected) -> None:
    client.get().delete()
    assert mine.account_id in worker.forgotten
    with pytest.raises(exceptions.AuthorizationException):
        client.get()


def test_a_file_is_found_by_name(client: kloudless.Account, worker: FakeWorker, mine: Connected) -> None:
    for name in ("alpha 1", "beta", "alpha 2", "alpha 3"):
        worker.put(mine.account_id, name, b"")
    found = client.get("storage/search", params={"q": "alpha", "page_size": 2})
    assert [r.data["name"] for r in found.get_paging_iterator()] == ["alpha 1", "alpha 2", "alpha 3"]
