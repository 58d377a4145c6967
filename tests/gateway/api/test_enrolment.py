"""`POST /connect/enrol`: an invitation works once, and guessing is slowed down."""

import base64
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from gateway.access import tokens
from store.engine import Database
from store.queries import networks
from tests.gateway.api.served import Gateway


def invite(gateway: Gateway, hours: float = 1.0) -> tuple[str, str]:
    """A network's name and an invitation into it."""
    secret, name = tokens.make(), tokens.make()

    async def act(database: Database) -> None:
        async with database.session() as session:
            network = await networks.create(session, name)
            expires = datetime.now(UTC) + timedelta(hours=hours)
            await networks.add_enrolment(session, network.id, tokens.digest(secret), expires)

    gateway.work(act)
    return name, secret


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def enrol(http: requests.Session, gateway: Gateway, given: Any, address: str) -> requests.Response:
    """Each test comes from an address of its own, as failures are counted by address.

    uvicorn takes it from a proxy on this machine, which the test is.
    """
    return http.post(f"{gateway.url}/connect/enrol", json=given, headers={"X-Forwarded-For": address})


def test_an_invitation_works_once(http: requests.Session, gateway: Gateway) -> None:
    name, secret = invite(gateway)
    given = {"secret": secret, "public_key": key(), "name": "office"}
    made = enrol(http, gateway, given, "192.0.2.1").json()
    assert made["network"] == name
    assert made["hub_public_key"] == base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
    assert made["connect"] == [f"ws://127.0.0.1:{gateway.port}/connect"]

    async def agent(database: Database) -> object:
        async with database.session() as session:
            found = await networks.agent(session, made["agent_id"])
            return None if found is None else found.name

    assert gateway.work(agent) == "office"
    again = enrol(http, gateway, {**given, "public_key": key()}, "192.0.2.1")
    assert (again.status_code, again.json()["error_code"]) == (403, "forbidden")


def test_an_invitation_that_expired(http: requests.Session, gateway: Gateway) -> None:
    _, secret = invite(gateway, hours=-1)
    assert enrol(http, gateway, {"secret": secret, "public_key": key()}, "192.0.2.2").status_code == 403


def test_a_key_that_is_known_does_not_use_the_invitation_up(http: requests.Session, gateway: Gateway) -> None:
    (_, first), (_, second) = invite(gateway), invite(gateway)
    known = key()
    assert enrol(http, gateway, {"secret": first, "public_key": known}, "192.0.2.3").status_code == 200
    assert enrol(http, gateway, {"secret": second, "public_key": known}, "192.0.2.3").status_code == 409
    assert enrol(http, gateway, {"secret": second, "public_key": key()}, "192.0.2.3").status_code == 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "body:"),
        ({}, "secret:"),
        ({"secret": 1}, "secret:"),
        ({"secret": "s"}, "public_key:"),
        ({"secret": "s", "public_key": "short"}, "public_key:"),
        ({"secret": "s", "public_key": "é" * 43}, "public_key:"),
        ({"secret": "s", "public_key": key(), "name": "a\nb"}, "name:"),
        ({"secret": "s", "public_key": key(), "name": "a" * 256}, "name:"),
    ],
)
def test_wrong_fields_are_named(http: requests.Session, gateway: Gateway, given: object, named: str) -> None:
    refused = enrol(http, gateway, given, "192.0.2.4")
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(named)


def test_guessing_is_slowed_down_for_that_address_alone(http: requests.Session, gateway: Gateway) -> None:
    statuses = [
        enrol(http, gateway, {"secret": f"guess {n}", "public_key": key()}, "192.0.2.5").status_code
        for n in range(12)
    ]
    assert statuses == [403] * 10 + [429] * 2
    _, secret = invite(gateway)
    limited = enrol(http, gateway, {"secret": secret, "public_key": key()}, "192.0.2.5")
    assert 0 < int(limited.headers["Retry-After"]) <= 60
    assert enrol(http, gateway, {"secret": secret, "public_key": key()}, "192.0.2.6").status_code == 200


def test_guessing_from_many_addresses_of_one_customer_is_slowed_down(
    http: requests.Session, gateway: Gateway
) -> None:
    """Of IPv6 everybody has at least 2^64."""
    statuses = [
        enrol(http, gateway, {"secret": f"guess {n}", "public_key": key()}, f"2001:db8:1:2::{n}").status_code
        for n in range(12)
    ]
    assert statuses == [403] * 10 + [429] * 2
    _, secret = invite(gateway)
    assert enrol(http, gateway, {"secret": secret, "public_key": key()}, "2001:db8:1:3::1").status_code == 200
