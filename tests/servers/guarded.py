"""A real Apache that lets nobody in but by one kind of authorisation, and shows what arrived there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.apache import PASSWORD, USER, Apache, apache

TOKEN = "t0k/en+of==the?account"
"""Has what URLs and JSON encode; good as a Bearer token too (RFC 6750, 2.1), but for the question mark."""

_MODULES = "/usr/lib/apache2/modules"
_NAMES = "alias cgid env headers rewrite setenvif"
_ENCODED = "t0k%2Fen%2Bof%3D%3Dthe%3Faccount"
_ACCEPTED = {  # https://httpd.apache.org/docs/2.4/expr.html
    "none": "true",
    "basic": "true",  # by mod_auth_basic itself
    "bearer": "%{{HTTP:Authorization}} == 'Bearer ' . file('{token}')",
    "header": "%{{HTTP:X-Api-Key}} == 'Key ' . file('{token}')",
    "query": "%{{QUERY_STRING}} =~ m#(^|&)api_key={encoded}(&|$)#",
}
_CHALLENGE = 'Header always set WWW-Authenticate Bearer "expr=%{REQUEST_STATUS} == 401"'
_ECHO = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
env | sort
cat
"""


@dataclass(frozen=True)
class Guarded:
    """`token` is the file of the token that is accepted now; `echo/` tells of any request below it."""

    apache: Apache
    token: Path
    settings: dict[str, str]  # of an account of the connector http that is let in

    @property
    def url(self) -> str:
        return self.apache.url

    def put(self, name: str, content: bytes) -> None:
        place = self.apache.data / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def log(self) -> list[tuple[str, str]]:
        """Method and status of every request."""
        lines = self.apache.log.read_text().splitlines() if self.apache.log.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]


@contextmanager
def guarded(folder: Path, kind: str, *, tls: bool = False, challenges: bool = True) -> Iterator[Guarded]:
    """The server, until the context ends; without `challenges` its 401 does not say what it wants."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text(TOKEN)
    accepted = _ACCEPTED[kind].format(token=token, encoded=_ENCODED)
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _NAMES.split())
    script = folder / "cgi" / "echo"
    script.parent.mkdir()
    script.write_text(_ECHO)
    for made, mode in ((script, 0o755), (script.parent, 0o755), (token, 0o644)):
        made.chmod(mode)
    extra = f"""{modules}
ScriptSock {folder}/cgisock
ScriptAlias /echo {script}
<Directory {script.parent}>
  CGIPassAuth On
  {_basic(folder) if kind == "basic" else "Require all granted"}
</Directory>
RewriteEngine On
RewriteCond expr "! ({accepted})"
RewriteRule .* - [R=401,L]
{_CHALLENGE if challenges and kind != "basic" else ""}
Header always set X-Echo "expr=%{{HTTP:Authorization}} %{{HTTP:X-Api-Key}} %{{QUERY_STRING}}"
"""
    with apache(folder, auth="Basic" if kind == "basic" else "None", tls=tls, extra=extra) as server:
        yield Guarded(server, token, {"url": server.url, **_SETTINGS[kind]} | _trust(server))


def _basic(folder: Path) -> str:
    return f"AuthType Basic\nAuthName store\nAuthUserFile {folder}/users\nRequire valid-user"


def _trust(server: Apache) -> dict[str, str]:
    return {"ca": server.ca} if server.ca else {}


_SETTINGS: dict[str, dict[str, str]] = {
    "none": {"auth": "none"},
    "basic": {"auth": "basic", "username": USER, "password": PASSWORD},
    "bearer": {"auth": "bearer", "token": TOKEN},
    "header": {"auth": "header", "header_name": "X-Api-Key", "token_prefix": "Key", "token": TOKEN},
    "query": {"auth": "query", "parameter": "api_key", "token": TOKEN},
}
KINDS = [*_SETTINGS]
