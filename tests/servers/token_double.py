"""A token endpoint that is a double: RFC 6749 as its sections 2.3.1, 4.4, 5 and 6 read, faults on demand.

What it issues is written to a file, which a real resource server accepts tokens by.
"""

import json
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

CLIENT, SECRET = "the client", "the client's s:cret/+"
REFRESH_TOKEN = "refresh-1"


@dataclass
class TokenDouble:
    """What was asked, and how the next requests are answered.

    Attributes:
        accepted: the file of the access token that is good now.
        lives: seconds, told as `expires_in`; None is not told.
        faults: statuses and errors, or a redirect's target, of the next answers.
        takes: seconds that an answer takes, so that others come meanwhile.
        rotates: whether a refresh token is good once.
        revokes: whether its second use ends the consent for good (RFC 9700, 4.14.2).
        open: while it is not set, requests wait; who hung up by then gets nothing, and spends nothing.
        waiting: requests that wait so, or did.
    """

    accepted: Path
    url: str = ""
    lives: float | None = 3600
    faults: list[tuple[int, str]] = field(default_factory=list)
    takes: float = 0.0
    rotates: bool = False
    revokes: bool = False
    open: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    works: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    refresh_token: str = REFRESH_TOKEN

    def __post_init__(self) -> None:
        self.open.set()

    def revoke(self) -> None:
        """The token that is good now is not any more."""
        self.accepted.write_text("nobody has this")

    def settings(self, **more: str) -> dict[str, str]:
        """Of an account of the connector http, but for its url."""
        known = {"auth": "oauth", "token_url": self.url, "client_id": CLIENT, "client_secret": SECRET}
        return known | more

    def answer(self, authorization: str | None, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """What a request is answered."""
        self.asked.append({**form, "authorization": authorization or ""})
        time.sleep(self.takes)
        if self.faults:
            status, error = self.faults.pop(0)
            told = {"error": error, "error_description": f"not {form.get('refresh_token', '')} {SECRET}"}
            return status, told
        if _client(authorization, form) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") == "refresh_token" and form.get("refresh_token") != self.refresh_token:
            self.refresh_token = "none" if self.revokes else self.refresh_token
            return 400, {"error": "invalid_grant"}
        if form.get("grant_type") not in ("refresh_token", "client_credentials"):
            return 400, {"error": "unsupported_grant_type"}
        token = f"access/token+{len(self.issued)}"
        self.issued.append(token)
        if self.works:
            self.accepted.write_text(token)
        told = {"access_token": token, "token_type": "Bearer"}
        if self.lives is not None:
            told["expires_in"] = self.lives  # type: ignore[assignment]  # as JSON has it
        if self.rotates and form["grant_type"] == "refresh_token":
            told["refresh_token"] = self.refresh_token = f"refresh-{len(self.issued) + 1}"
        return 200, told


def _client(authorization: str | None, form: dict[str, str]) -> tuple[str, str]:
    if authorization is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)


def _hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def token_double(accepted: Path) -> Iterator[TokenDouble]:
    """The endpoint, until the context ends."""
    double = TokenDouble(accepted)
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/x-www-form-urlencoded"
            read = self.rfile.read(int(self.headers["content-length"]))
            form = {name: values[0] for name, values in parse_qs(read.decode()).items()}
            if not double.open.is_set():
                double.waiting += 1
                double.open.wait(60)
                if _hung_up(self.connection):
                    return
            with one_at_a_time:
                status, told = double.answer(self.headers["authorization"], form)
            body = json.dumps(told).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", told["error"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    double.url = f"http://127.0.0.1:{server.server_port}/token"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
