"""Who asks, in every spelling; and that another tenant's things read like things that do not exist."""

import time
from typing import Any

import pytest
import requests

from gateway.access import tokens
from store.engine import Database
from store.queries import accounts
from store.queries import tokens as access_tokens
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway


@pytest.mark.parametrize("scheme", ["APIKey", "ApiKey", "apikey", "APIKEY"])
def test_an_api_key_opens_its_accounts(
    http: requests.Session, gateway: Gateway, mine: Connected, scheme: str
) -> None:
    found = http.get(
        f"{gateway.url}/v1/accounts/{mine.account_id}", headers={"Authorization": f"{scheme} {mine.api_key}"}
    )
    assert found.json()["id"] == mine.account_id


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "AccountKey"])
def test_a_token_opens_its_account(
    http: requests.Session, gateway: Gateway, mine: Connected, scheme: str
) -> None:
    for account in ("me", mine.account_id):
        found = http.get(
            f"{gateway.url}/v1/accounts/{account}", headers={"Authorization": f"{scheme} {mine.token}"}
        )
        assert found.json()["id"] == mine.account_id


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer made-up",
        "APIKey made-up",
        "Basic dTpw",
        "Bearer a,b",
        "DeveloperKey x",
    ],
)
def test_no_or_a_bad_key_is_401(
    http: requests.Session, gateway: Gateway, mine: Connected, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in (
        "accounts",
        f"accounts/{mine.account_id}",
        "accounts/999999/storage/folders/root",
        "applications",
    ):
        refused = http.get(f"{gateway.url}/v1/{path}", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert refused.json()["error_code"] == "unauthorized"


def test_several_tokens_and_several_accounts(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    second = gateway.another_account(mine)
    for number in range(3):
        worker.put(mine.account_id, f"a{number}", b"")
        worker.put(second.account_id, f"b{number}", b"")
    both = f"{mine.account_id},{second.account_id}"
    url = gateway.storage(both, "folders/root/contents")
    for headers in (mine.key, {"Authorization": f"Bearer {mine.token},{second.token}"}):
        names: list[tuple[int, str]] = []
        page: Any = 1
        while page is not None:
            found = http.get(url, params={"page_size": "2", "page": page}, headers=headers).json()
            names += [(entry["account"], entry["name"]) for entry in found["objects"]]
            assert found["count"] <= 2
            page = found["next_page"]
        assert names == [
            *((mine.account_id, f"a{n}") for n in range(3)),
            *((second.account_id, f"b{n}") for n in range(3)),
        ]
    listed = http.get(
        f"{gateway.url}/v1/accounts", headers={"Authorization": f"Bearer {mine.token}, {second.token}"}
    )
    assert [a["id"] for a in listed.json()["objects"]] == [mine.account_id, second.account_id]
    assert http.get(url, headers=mine.bearer).status_code == 404  # the second one is not this token's
    refused = http.post(gateway.storage(both, "folders"), json={}, headers=mine.key)
    assert refused.status_code == 400


def test_what_is_anothers_reads_like_what_is_not_there(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    other = gateway.connect()
    theirs = worker.put(other.account_id, "secret.txt", b"theirs")
    folder = worker.put(other.account_id, "secret", None)
    file = worker.put(mine.account_id, "a.txt", b"mine")
    accounts_of_others = (
        other.account_id,
        987_654,
        2**31 - 1,
        2**31,
        10**30,
        "x",
        "-1",
        "1.5",
        "1,,2",
        "%00",
    )
    ids = (
        theirs.id,
        folder.id,
        "made-up",
        "..",
        "a" * 5000,
        "a" * 9000,
        "%2e%2e%2fetc%2fpasswd",
        "%00",
        "\u00e9",
    )
    asked = [
        *(f"accounts/{account}" for account in accounts_of_others),
        *(f"accounts/{account}/storage/folders/root/contents" for account in accounts_of_others),
        *(f"accounts/{other.account_id}/storage/files/{i}" for i in (theirs.id, file.id)),
        *(f"accounts/{mine.account_id}/storage/files/{i}" for i in ids),
        *(f"accounts/{mine.account_id}/storage/files/{i}/contents" for i in ids),
        *(f"accounts/{mine.account_id}/storage/folders/{i}/contents" for i in ids),
        *(f"accounts/{mine.account_id}/storage/folders/{i}" for i in (theirs.id, file.id)),
        f"accounts/{mine.account_id}/tasks/made-up",
        f"accounts/{other.account_id}/events",
        "nowhere/at/all",
    ]
    seen = set()
    for headers in (mine.bearer, mine.key):
        for path in asked:
            refused = http.get(f"{gateway.url}/v1/{path}", headers=headers)
            body = refused.json()
            assert refused.status_code == 404, path
            assert body.pop("id") == refused.headers["X-Request-ID"]
            seen.add(str(sorted(body.items())))
    assert len(seen) == 1, seen
    for method, path in (
        ("DELETE", f"storage/files/{theirs.id}"),
        ("PATCH", f"storage/files/{theirs.id}"),
        ("PUT", f"storage/files/{theirs.id}"),
        ("POST", f"storage/files/{theirs.id}/copy"),
    ):
        refused = http.request(
            method,
            f"{gateway.url}/v1/accounts/{mine.account_id}/{path}",
            json={"name": "x", "parent_id": "root"},
            headers=mine.key,
        )
        assert refused.status_code == 404
    assert theirs.data == b"theirs"


def test_a_folder_of_another_account_takes_nothing(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    folder = worker.put(gateway.connect().account_id, "theirs", None)
    refused = http.post(
        gateway.storage(mine, "folders"), json={"name": "x", "parent_id": folder.id}, headers=mine.bearer
    )
    assert refused.status_code == 404
    assert folder.children == {}


def test_a_revoked_token_is_dead_within_two_seconds(
    http: requests.Session, gateway: Gateway, mine: Connected
) -> None:
    url = f"{gateway.url}/v1/accounts/me"
    assert http.get(url, headers=mine.bearer).status_code == 200

    async def revoke(database: Database) -> bool:
        async with database.session() as session:
            found = await access_tokens.by_digest(session, tokens.digest(mine.token))
            return found is not None and await access_tokens.revoke(session, found[0].id)

    assert gateway.work(revoke)
    deadline = time.monotonic() + 2.0
    while http.get(url, headers=mine.bearer).status_code != 401:
        assert time.monotonic() < deadline


def test_an_account_that_is_switched_off(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    url = f"{gateway.url}/v1/accounts/{mine.account_id}"
    assert http.patch(url, json={"enabled": False}, headers=mine.key).json()["enabled"] is False
    refused = http.get(gateway.storage(mine, "folders/root/contents"), headers=mine.bearer)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "forbidden")
    assert http.patch(url, json={"enabled": True}, headers=mine.key).json()["enabled"] is True
    assert http.get(gateway.storage(mine, "folders/root/contents"), headers=mine.bearer).status_code == 200


def test_a_second_delete_finds_nothing(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    url = f"{gateway.url}/v1/accounts/{mine.account_id}"
    assert http.delete(url, headers=mine.key).status_code == 204
    assert http.delete(url, headers=mine.key).status_code == 404

    async def look(database: Database) -> object:
        async with database.session() as session:
            return await accounts.fetch(session, mine.account_id)

    assert gateway.work(look) is None


def test_accounts_are_filtered(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    url = f"{gateway.url}/v1/accounts"
    for query, count in (
        ("service=local", 1),
        ("service=sftp", 0),
        ("search=USER@", 1),
        ("search=%25", 0),
        ("active=True", 1),
        ("active=0", 0),
        ("admin=false", 1),
        ("page=2", 0),
    ):
        for headers in (mine.key, mine.bearer):
            found = http.get(f"{url}?{query}", headers=headers).json()
            assert (found["count"], found["next_page"]) == (count, None), query
    assert http.get(url, headers=mine.meta).status_code == 403
