"""Real smart HTTP: git's own http-backend below a real Apache, with Basic authentication."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.apache import USER, Apache, apache

_MODULES = "/usr/lib/apache2/modules"
_BACKEND = Path("/usr/lib/git-core/git-http-backend")


@dataclass(frozen=True)
class GitServer:
    """`repository` is the bare one on the disk, `url` its address."""

    apache: Apache
    repository: Path

    @property
    def url(self) -> str:
        return f"{self.apache.url}git/demo.git"

    def run(self, *words: str) -> str:
        """What git answers in the repository itself."""
        owned = ("-c", f"safe.directory={self.repository}")
        command = ["git", *owned, "-C", str(self.repository), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def git_server(folder: Path, *, tls: bool = True) -> Iterator[GitServer]:
    """The server with an empty repository, until the context ends."""
    projects = folder / "projects"
    projects.mkdir(parents=True)
    repository = projects / "demo.git"
    made = ("git", "init", "-q", "--bare", "--initial-branch=main", str(repository))
    subprocess.run(made, check=True, env={"PATH": os.defpath, "HOME": str(folder)})
    if os.getuid() == 0:  # git serves what belongs to the user it runs as
        for one in (projects, *projects.rglob("*")):
            shutil.chown(one, "www-data", "www-data")
    extra = f"""
LoadModule alias_module {_MODULES}/mod_alias.so
LoadModule cgid_module {_MODULES}/mod_cgid.so
LoadModule env_module {_MODULES}/mod_env.so
ScriptSock {folder}/cgisock
SetEnv GIT_PROJECT_ROOT {projects}
SetEnv GIT_HTTP_EXPORT_ALL
ScriptAlias /git/ {_BACKEND}/
<Directory {_BACKEND.parent}>
  AuthType Basic
  AuthName store
  AuthUserFile {folder}/users
  Require user {USER}
</Directory>
"""
    with apache(folder, tls=tls, extra=extra) as server:
        yield GitServer(server, repository)
