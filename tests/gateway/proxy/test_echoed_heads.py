"""A store that shows what was put in where no header's value is."""

from base64 import b64encode

import pytest

from tests.gateway.proxy.proxied import Account, Proxied
from tests.gateway.proxy.speaking import Double, asked, head, status
from tests.servers.apache import PASSWORD, USER

pytestmark = [pytest.mark.server, pytest.mark.journey]

SECRET = b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"=")  # no header's name has padding


@pytest.mark.parametrize(
    "lie",
    [
        b"HTTP/1.1 200 Basic %s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-%s: a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /?a=%s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 %s\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
        + SECRET[:5]
        + b"\r\n0\r\nX: %s\r\n\r\n",
    ],
    ids=["the reason", "a header's name", "a redirect", "a refusal", "a trailer"],
)
def test_a_secret_in_a_head_is_masked(guarded: Proxied, lied_to: Account, lying: Double, lie: bytes) -> None:
    lying.lies["/head"] = lie % SECRET
    answer = asked(guarded, head(lied_to, "GET", f"{lying.url}head", "Connection: close"))
    assert SECRET not in answer
    assert status(answer) in (200, 302, 401, 502)
