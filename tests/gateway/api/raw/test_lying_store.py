"""A store that lies to raw requests: what it sends back of our credential, and what is no answer."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
import requests

from tests.gateway.api.raw.accounts import Mine
from tests.gateway.api.whole import Whole
from tests.gateway.proxy.speaking import Double, double

pytestmark = pytest.mark.server

PASSWORD = "only-lower-case-5f3e"
BASIC = b64encode(f"ann:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def lying() -> Iterator[Double]:
    with double() as made:
        yield made


@pytest.fixture
def lied_to(whole: Whole, lying: Double, http: requests.Session) -> Mine:
    settings = {"url": lying.url, "username": "ann", "password": PASSWORD}
    return Mine(whole, whole.connect_to("webdav", settings), http)


@pytest.mark.parametrize(
    "head",
    [
        f"HTTP/1.1 200 OK\r\nX-A: {BASIC}\0\r\n",
        f"HTTP/1.1 200 OK\r\nX-A: a\rX-B: {BASIC}\r\n",
        f"HTTP/1.1 200 OK\r\n{BASIC}\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: {BASIC}\r\n",
        f"{BASIC} 200 OK\r\n",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{BASIC}\r\n",
    ],
    ids=["nul", "return", "no colon", "length", "version", "chunk"],
)
def test_what_is_wrong_is_told_without_what_was_sent(lied_to: Mine, lying: Double, head: str) -> None:
    lying.lies["/lie"] = f"{head}\r\n".encode()
    try:
        told = lied_to.send("GET", "lie")
    except requests.exceptions.ChunkedEncodingError:
        return  # the head was out when the body turned out to be none
    assert told.status_code == 502
    assert "not HTTP" in told.json()["message"]
    assert BASIC not in told.text + str(told.headers)


def test_a_secret_in_a_headers_name_is_masked(lied_to: Mine, lying: Double) -> None:
    """Names become lower case on their way; a secret of small letters would come through whole."""
    for name in (PASSWORD, BASIC.rstrip("=")):
        lying.lies["/named"] = f"HTTP/1.1 200 OK\r\nX-{name}: a\r\nContent-Length: 0\r\n\r\n".encode()
        found = lied_to.send("GET", "named")
        assert found.status_code == 200
        assert name.lower() not in str(found.headers).lower()


@pytest.mark.parametrize("status", [101, 600, 999])
def test_a_status_that_is_none_is_a_502(lied_to: Mine, lying: Double, status: int) -> None:
    lying.lies["/status"] = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    assert lied_to.send("GET", "status").status_code == 502
