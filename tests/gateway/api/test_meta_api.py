"""The Meta API: a developer's applications and keys, and nobody else's."""

import json
from typing import Any

import kloudless
import pytest
import requests

from store.engine import Database
from store.queries import audit
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway


@pytest.mark.parametrize("base", ["v1/meta", "v1"])
@pytest.mark.parametrize("scheme", ["Bearer", "DeveloperKey"])
def test_a_developer_in_both_spellings(
    http: requests.Session, gateway: Gateway, mine: Connected, base: str, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {mine.meta_token}"}
    me = http.get(f"{gateway.url}/{base}/developers/me", headers=headers).json()
    assert me["id"] == mine.developer_id
    listed = http.get(f"{gateway.url}/{base}/applications", headers=headers).json()
    assert [a["id"] for a in listed["objects"]] == [mine.application_id]


def test_an_application_lives_and_ends(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    url = f"{gateway.url}/v1/meta/applications"
    made = http.post(url, json={"name": "second", "description": "d", "unknown": 1}, headers=mine.meta)
    assert made.status_code == 201
    one = made.json()["href"]
    changed = http.patch(one, json={"name": "renamed", "events_enabled": True}, headers=mine.meta).json()
    assert (changed["name"], changed["events_enabled"], changed["description"]) == ("renamed", True, "d")
    keys = http.get(f"{one}/apikeys", headers=mine.meta).json()["objects"]
    key = {"Authorization": f"APIKey {keys[0]['key']}"}
    assert http.get(f"{gateway.url}/v1/accounts", headers=key).json()["count"] == 0
    first = f"{url}/{mine.application_id}"
    assert http.delete(one, headers=mine.meta).status_code == 204
    assert http.delete(one, headers=mine.meta).status_code == 404
    assert http.get(f"{gateway.url}/v1/accounts", headers=key).status_code == 401
    assert http.delete(first, headers=mine.meta).status_code == 204
    assert mine.account_id in worker.forgotten
    assert http.get(f"{gateway.url}/v1/accounts/me", headers=mine.bearer).status_code == 401


def test_keys_are_shown_to_their_owner_and_each_look_is_audited(
    http: requests.Session, gateway: Gateway, mine: Connected
) -> None:
    url = f"{gateway.url}/v1/meta/applications/{mine.application_id}/apikeys"
    made = http.post(url, headers=mine.meta)
    assert made.status_code == 201
    keys = [o["key"] for o in http.get(url, headers=mine.meta).json()["objects"]]
    assert keys == [mine.api_key, made.json()["key"]]
    assert http.get(f"{url}/{mine.api_key}", headers=mine.meta).json()["key"] == mine.api_key
    assert http.delete(f"{url}/{mine.api_key}", headers=mine.meta).status_code == 204
    assert http.get(f"{url}/{mine.api_key}", headers=mine.meta).status_code == 404
    assert http.get(f"{gateway.url}/v1/accounts", headers=mine.key).status_code == 401

    async def rows(database: Database) -> int:
        async with database.session() as session:
            return await audit.verify(session)

    assert gateway.work(rows) >= 4


def test_lists_are_paged_by_the_published_client(
    gateway: Gateway, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kloudless.configuration, "base_url", gateway.url)
    with kloudless.Client(token=mine.meta_token) as client:
        for number in range(4):
            client.post("meta/applications", json={"name": f"app {number}"})
        listed = client.get("meta/applications", params={"page_size": 2})
        assert len({r.data["id"] for r in listed.get_paging_iterator()}) == 5


def test_another_developers_application_is_not_there(
    http: requests.Session, gateway: Gateway, mine: Connected
) -> None:
    other = gateway.connect()
    bodies = set()
    for application in (other.application_id, "made-up"):
        one = f"{gateway.url}/v1/meta/applications/{application}"
        for method, url in (
            ("GET", one),
            ("PATCH", one),
            ("DELETE", one),
            ("GET", f"{one}/apikeys"),
            ("POST", f"{one}/apikeys"),
            ("GET", f"{one}/apikeys/{other.api_key}"),
            ("DELETE", f"{one}/apikeys/{other.api_key}"),
        ):
            refused = http.request(method, url, json={"name": "x"}, headers=mine.meta)
            assert refused.status_code == 404
            bodies.add(json.dumps({**refused.json(), "id": None}))
    assert len(bodies) == 1
    assert http.get(f"{gateway.url}/v1/accounts", headers=other.key).status_code == 200


def test_keys_and_tokens_of_other_kinds_are_forbidden(
    http: requests.Session, gateway: Gateway, mine: Connected
) -> None:
    for headers in (mine.key, mine.bearer):
        refused = http.get(f"{gateway.url}/v1/meta/applications", headers=headers)
        assert (refused.status_code, refused.json()["error_code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "name:"),
        ({"name": ""}, "name:"),
        ({"name": 5}, "name:"),
        ({"name": "a" * 256}, "name:"),
        ({"name": "a", "active": "yes"}, "active:"),
        ({"name": "a", "logo_url": []}, "logo_url:"),
    ],
)
def test_wrong_fields_are_named(
    http: requests.Session, gateway: Gateway, mine: Connected, given: Any, named: str
) -> None:
    refused = http.post(f"{gateway.url}/v1/meta/applications", json=given, headers=mine.meta)
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(named)


def test_webhooks_are_not_there_yet(http: requests.Session, gateway: Gateway, mine: Connected) -> None:
    url = f"{gateway.url}/v1/meta/applications/{mine.application_id}/webhooks"
    refused = http.get(url, headers=mine.meta)
    assert refused.status_code == 501
    assert "webhooks" in refused.json()["message"]
