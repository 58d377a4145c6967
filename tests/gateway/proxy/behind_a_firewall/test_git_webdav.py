"""git over HTTPS to a server that knows nothing of git: files by GET, pushes by WebDAV with its locks."""

import subprocess
from pathlib import Path

import pytest

from tests.gateway.proxy.behind_a_firewall.conftest import MARKS, Office

pytestmark = MARKS

AUTHOR = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")


def git(folder: Path, *words: str | Path) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", folder, *AUTHOR, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(office: Office, tmp_path: Path) -> Path:
    """A bare repository with one commit, as a folder that Apache serves."""
    first, bare = tmp_path / "first", office.webdav.data / "project.git"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", first)
    (first / "a.txt").write_text("one")
    git(first, "add", "a.txt")
    git(first, "commit", "--quiet", "--message", "one")
    git(tmp_path, "clone", "--quiet", "--bare", first, bare)
    git(bare, "update-server-info")
    subprocess.run(["chown", "-R", "www-data:www-data", bare], check=True)
    return bare


def test_clone_commit_push_and_clone_again(office: Office, repository: Path, tmp_path: Path) -> None:
    url = f"{office.webdav.url}{repository.name}"

    def through(*words: str | Path) -> str:
        done = office.proxied.exec(office.files, "git", *words)
        assert done.returncode == 0, done.stderr
        return done.stderr

    through("clone", "--quiet", url, tmp_path / "clone")
    (tmp_path / "clone/large.bin").write_bytes(bytes(range(256)) * 40_000)
    git(tmp_path / "clone", "add", "large.bin")
    git(tmp_path / "clone", "commit", "--quiet", "--message", "two")
    through("-C", tmp_path / "clone", "push", "--quiet", "origin", "main")
    assert git(repository, "log", "--format=%s", "main").split() == ["two", "one"]
    through("clone", "--quiet", url, tmp_path / "again")
    assert (tmp_path / "again/large.bin").read_bytes() == (tmp_path / "clone/large.bin").read_bytes()
