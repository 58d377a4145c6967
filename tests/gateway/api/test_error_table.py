"""Every error that an operation can raise has its row, and no message of ours leaks through a bug."""

import logging

import pytest
import requests

from connectors.interface import StoreError
from gateway.api import errors
from gateway.operations.errors import LEAVES, WorkerUnavailable
from tests.gateway.api.fake_worker import FakeWorker
from tests.gateway.api.served import Connected, Gateway


@pytest.mark.parametrize("leaf", LEAVES.values(), ids=LEAVES)
def test_every_store_error_has_a_row(
    leaf: type[StoreError], http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    assert leaf in errors.TABLE
    worker.fails = leaf("why it went wrong")
    found = http.get(gateway.storage(mine, "folders/root"), headers=mine.bearer)
    status, code = errors.TABLE[leaf]
    assert (found.status_code, found.json()["error_code"]) == (status, code)
    assert found.json()["message"] == (errors.NOT_FOUND if status == 404 else "why it went wrong")
    assert ("Retry-After" in found.headers) == (status in (429, 503))


def test_no_worker_is_worth_trying_again_in_a_second(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    worker.fails = WorkerUnavailable("no worker took the request")
    found = http.get(gateway.storage(mine, "folders/root"), headers=mine.bearer)
    assert (found.status_code, found.headers["Retry-After"]) == (503, "1")


def test_a_bug_is_a_500_that_tells_nothing(
    http: requests.Session, gateway: Gateway, mine: Connected, worker: FakeWorker
) -> None:
    worker.fails = KeyError("inner detail")
    found = http.get(gateway.storage(mine, "folders/root"), headers=mine.bearer)
    assert (found.status_code, found.json()["error_code"]) == (500, "internal_error")
    assert "inner detail" not in found.text


def test_health(http: requests.Session, gateway: Gateway, worker: FakeWorker) -> None:
    assert http.get(f"{gateway.url}/health").json() == {"ready": True}
    worker.is_ready = False
    assert http.get(f"{gateway.url}/health").status_code == 503


def test_the_log_holds_no_key_no_token_and_no_query(
    http: requests.Session, gateway: Gateway, mine: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # the test's own client
        http.get(gateway.storage(mine, "search?q=private-words"), headers=mine.bearer)
        key = f"{gateway.url}/v1/meta/applications/{mine.application_id}/apikeys/{mine.api_key}"
        http.get(key, headers=mine.meta)
        http.get(f"{gateway.url}/v1/{mine.token}", headers=mine.key)
        http.get(f"{gateway.url}/v1/accounts/{mine.token}", headers=mine.key)
    written = "\n".join(str(vars(record)) for record in caplog.records)
    assert "/v1/accounts/{accounts}/storage/search" in written
    for secret in (mine.token, mine.api_key, mine.meta_token, "private-words"):
        assert secret not in written
