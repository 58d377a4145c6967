"""A real OAuth 2.0 server, Django OAuth Toolkit of Debian, with a resource that takes its tokens."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.sshd import free_port, wait_for_port

_SITE = Path(__file__).parent / "oauth_toolkit" / "site.py"
_PYTHON = "/usr/bin/python3"  # Debian's packages are its own


@dataclass(frozen=True)
class OAuthSite:
    """`refresh_token` is the client `person`'s; it is good once, the server gives another then."""

    url: str
    machine: str
    person: str
    refresh_token: str

    @property
    def api(self) -> str:
        return f"{self.url}api/"

    def settings(self, client: str) -> dict[str, str]:
        """Of an account of the connector http, for `machine` or `person`."""
        known = {
            "url": self.api,
            "auth": "oauth",
            "token_url": f"{self.url}o/token/",
            "client_id": getattr(self, client),
            "client_secret": f"secret of {client}",
            "scope": "read",
        }
        return known | ({"refresh_token": self.refresh_token} if client == "person" else {})

    def issued(self) -> int:
        """How many access tokens there are by now."""
        return int(json.loads(self._get("count"))["access_tokens"])

    def revoke(self) -> None:
        """Ends every access token."""
        self._get("revoke")

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def oauth_site(folder: Path) -> Iterator[OAuthSite]:
    """The server, until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [_PYTHON, str(_SITE), str(port)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin"},
        )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (folder / "log").read_text()
        made = json.loads(line)
        wait_for_port(port, 60)
        yield OAuthSite(f"http://127.0.0.1:{port}/", **made)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
