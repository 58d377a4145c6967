"""Joining, over a real HTTP server and through a real proxy; pauses; words for what went wrong."""

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidProxyStatus, InvalidStatus
from websockets.http11 import Response

import connect_agent
from connect_agent.agent import backoff
from connect_agent.enrolment import JoinError, enrol
from connect_agent.identity import Identity, JoinToken, fingerprint, from_base64, to_base64
from connect_agent.settings import Proxy, tls_context
from connect_agent.way import Way, describe

HUB_KEY = Identity.create().public_key


@dataclass
class FakeGateway:
    """A double of the gateway's enrolment: answers what the test says, on a real socket."""

    status: int = 200
    answer: Any = field(
        default_factory=lambda: {"agent_id": 7, "network": "office", "hub_public_key": to_base64(HUB_KEY)}
    )
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)
    authorization: str = ""
    port: int = 0


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    made = FakeGateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append((self.path, json.loads(body)))
            text = made.answer if isinstance(made.answer, bytes) else json.dumps(made.answer).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_CONNECT(self) -> None:
            """As a proxy that leads every name to this very server."""
            made.proxied.append(self.path)
            made.authorization = self.headers.get("Proxy-Authorization", "")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.protocol_version = "HTTP/1.1"
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def token(gateway: FakeGateway, url: str = "") -> JoinToken:
    return JoinToken(
        url or f"http://127.0.0.1:{gateway.port}",
        "office",
        "s3cret",
        fingerprint(HUB_KEY),
        int(time.time()) + 60,
    )


@pytest.fixture
def way() -> Way:
    return Way(None, tls_context(""))


def test_joining_registers_the_public_key(gateway: FakeGateway, way: Way) -> None:
    identity = Identity.create()
    joined = enrol(token(gateway), identity.public_key, "desk", way)
    ((path, asked),) = gateway.asked
    assert path == "/connect/enrol"
    assert from_base64(asked["public_key"]) == identity.public_key
    assert (asked["secret"], asked["name"]) == ("s3cret", "desk")
    assert (joined.agent_id, joined.network) == (7, "office")
    assert joined.connect == (f"ws://127.0.0.1:{gateway.port}/connect",)


def test_the_gateway_may_name_its_hubs(gateway: FakeGateway, way: Way) -> None:
    gateway.answer["connect"] = ["/hub/connect", "wss://two.example/connect"]
    joined = enrol(token(gateway), bytes(32), "desk", way)
    assert joined.connect == (f"ws://127.0.0.1:{gateway.port}/hub/connect", "wss://two.example/connect")


def test_joining_goes_through_the_proxy(gateway: FakeGateway) -> None:
    way = Way(Proxy("127.0.0.1", gateway.port, "user", "p@ss"), tls_context(""))
    enrol(token(gateway, "http://gateway.invalid:8080"), bytes(32), "desk", way)
    assert gateway.proxied == ["gateway.invalid:8080"]
    assert gateway.authorization == "Basic dXNlcjpwQHNz"
    assert len(gateway.asked) == 1


def test_a_gateway_with_another_key_is_refused(gateway: FakeGateway, way: Way) -> None:
    gateway.answer["hub_public_key"] = to_base64(bytes(32))
    with pytest.raises(JoinError, match="someone may be in between"):
        enrol(token(gateway), bytes(32), "desk", way)


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (403, {"message": "the invitation is used"}, "HTTP 403.*the invitation is used"),
        (500, b"<html>", "did not answer like an Isthmus gateway"),
        (200, [], "did not answer like"),
        (200, {}, "did not answer like"),
        (200, {"agent_id": 1, "network": "n", "hub_public_key": "*"}, "did not answer like"),
        (
            200,
            {"agent_id": 1, "network": "n", "hub_public_key": to_base64(HUB_KEY), "connect": ["x"]},
            "did not",
        ),
    ],
)
def test_a_join_that_fails_says_why(
    gateway: FakeGateway, way: Way, status: int, answer: object, says: str
) -> None:
    gateway.status, gateway.answer = status, answer
    with pytest.raises(JoinError, match=says) as caught:
        enrol(token(gateway), bytes(32), "desk", way)
    assert "s3cret" not in str(caught.value)


def test_a_gateway_that_is_not_there(gateway: FakeGateway, way: Way) -> None:
    with pytest.raises(JoinError, match="was not reached: Connection refused"):
        enrol(token(gateway, "http://127.0.0.1:1"), bytes(32), "desk", way)


def test_tls_never_goes_down_to_plain(gateway: FakeGateway) -> None:
    from connect_agent.enrolment import _hub_url

    assert _hub_url("https://gw.example:8443", "/connect") == "wss://gw.example:8443/connect"
    with pytest.raises(ValueError, match="without TLS"):
        _hub_url("https://gw.example", "ws://gw.example/connect")


def test_pauses_grow_spread_and_stay_below_the_cap() -> None:
    assert backoff(0, 30) == 0
    many = [[backoff(attempt, 30.0) for _ in range(400)] for attempt in range(1, 60)]
    assert max(many[0]) <= 0.5
    assert all(pause <= 30 for pauses in many for pause in pauses)
    assert max(many[-1]) - min(many[-1]) > 20


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InvalidProxyStatus(Response(407, "", Headers())), "HTTP 407: set proxy with a name and password"),
        (InvalidStatus(Response(502, "", Headers())), "HTTP 502 instead of a websocket"),
        (TimeoutError(), "isthmus-agent doctor"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (ssl.SSLError("the gateway's certificate is not the pinned one"), "not the pinned one"),
    ],
)
def test_errors_in_words(error: Exception, says: str) -> None:
    assert says in describe(error)


def test_the_agent_needs_nothing_of_the_gateway() -> None:
    """It starts where only websockets, cryptography and typer are installed."""
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        root = name.partition('.')[0]\n"
        "        if root in {'gateway', 'store', 'connectors', 'pydantic', 'orjson', 'uvloop', 'starlette',\n"
        "'h11',                     'sqlalchemy', 'uvicorn', 'anyio', 'asyncssh', 'httptools'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import connect_agent.cli, connect_agent.agent, connect_agent.doctor, connect_agent.tunnel\n"
        "try:\n"
        "    connect_agent.cli.app(['--help'])\n"
        "except SystemExit as done:\n"
        "    sys.exit(done.code)\n"
    )
    root = Path(connect_agent.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "explain" in done.stdout
