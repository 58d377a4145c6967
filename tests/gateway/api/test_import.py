"""Accounts imported over the API, and their settings changed."""

from typing import Any

import kloudless
import orjson
import pytest
import requests

from gateway.worker.desk import Desk
from store.queries import accounts
from tests.gateway.api.served import Connected
from tests.gateway.api.whole import Whole

WEBDAV: dict[str, Any] = {
    "service": "webdav",
    "url": "https://files.example/dav/",
    "username": "ann",
    "password": "a secret word",
}


@pytest.fixture
def mine(whole: Whole) -> Connected:
    return whole.connect(service="plain_double")


def imported(http: requests.Session, whole: Whole, mine: Connected, **body: Any) -> requests.Response:
    return http.post(f"{whole.url}/v1/accounts", json=WEBDAV | body, headers=mine.key)


def settings_of(whole: Whole, account_id: int) -> dict[str, Any]:
    """What is sealed, as the worker reads it."""

    async def read(desk: Desk) -> bytes:
        async with desk.database.session() as session:
            row = await accounts.fetch(session, account_id)
        assert row is not None
        return desk.accounts.unseal_credential(account_id, row.credential)

    known: dict[str, Any] = orjson.loads(whole.inside(read))
    return known


def test_an_account_is_imported_and_its_settings_are_sealed(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    answer = imported(http, whole, mine, account="Ann's files", unheard_of=1)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["account"], made["service"], made["active"]) == ("Ann's files", "webdav", True)
    assert "secret" not in answer.text
    assert settings_of(whole, made["id"])["password"] == "a secret word"
    listed = http.get(f"{whole.url}/v1/accounts?service=webdav", headers=mine.key).json()["objects"]
    assert [one["id"] for one in listed] == [made["id"]]


def test_the_published_client_imports_one(
    whole: Whole, mine: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kloudless.configuration, "base_url", whole.url)
    made = kloudless.Client(api_key=mine.api_key).post("accounts", json=WEBDAV)
    assert made.data["account"] == "ann@files.example"


def test_the_accounts_name_is_the_user_where_none_is_given(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    made = imported(http, whole, mine, account="bob", username=None).json()
    assert settings_of(whole, made["id"])["username"] == "bob"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"url": None}, 400, "url: is missing"),
        ({"url": 7}, 400, "url: "),
        ({"url": "ftp://a-secret-host/"}, 400, "url: must be like"),
        ({"service": "nothing"}, 400, "service: must be one of"),
        ({"service": None}, 400, "service: is missing"),
        ({"network": "nowhere"}, 400, "network: "),
        ({"account": "x" * 600}, 400, "account: "),
        ({"service": "local", "root": "/"}, 403, "who runs it"),
    ],
)
def test_what_can_not_be_imported_is_said_by_name(
    http: requests.Session, whole: Whole, mine: Connected, body: dict[str, Any], status: int, says: str
) -> None:
    answer = imported(http, whole, mine, **body)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert "secret" not in answer.text


def test_a_token_of_one_account_imports_none(http: requests.Session, whole: Whole, mine: Connected) -> None:
    for headers in (mine.bearer, mine.meta):
        answer = http.post(f"{whole.url}/v1/accounts", json=WEBDAV, headers=headers)
        assert answer.status_code == 403
    assert http.post(f"{whole.url}/v1/accounts", json=WEBDAV).status_code == 401


def test_a_new_password_is_merged_into_what_is_sealed(
    http: requests.Session, whole: Whole, mine: Connected
) -> None:
    account = f"{whole.url}/v1/accounts/{imported(http, whole, mine).json()['id']}"
    answer = http.patch(account, json={"password": "another", "account": "renamed"}, headers=mine.key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["account"] == "renamed"
    known = settings_of(whole, answer.json()["id"])
    assert (known["password"], known["username"], known["url"]) == ("another", "ann", WEBDAV["url"])


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"url": "secret://"}, 400, "url: "),
        ({"service": "sftp"}, 400, "service: "),
        ({"token": "secret"}, 400, "token: "),
        ({"active": "secret"}, 400, "active: "),
    ],
)
def test_what_can_not_be_changed_is_said_by_name(
    http: requests.Session, whole: Whole, mine: Connected, body: dict[str, Any], status: int, says: str
) -> None:
    made = imported(http, whole, mine).json()["id"]
    answer = http.patch(f"{whole.url}/v1/accounts/{made}", json=body, headers=mine.key)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert "secret" not in answer.text
    assert settings_of(whole, made)["url"] == WEBDAV["url"]
