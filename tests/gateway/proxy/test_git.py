"""The real git over smart HTTP to git's own http-backend, holding no password of it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.proxy.proxied import ISTHMUS, Account, Proxied
from tests.servers.apache import PASSWORD, USER
from tests.servers.git_server import GitServer, git_server

pytestmark = [pytest.mark.server, pytest.mark.journey]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("git")) as running:
        yield running


@pytest.fixture(scope="module")
def account(proxied: Proxied, server: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Account:
    ca = tmp_path_factory.mktemp("trusted") / "ca.pem"
    ca.write_text(server.apache.ca or "")
    url = f"{server.apache.url}git/"
    return proxied.add("http", url=url, auth="basic", username=USER, password=PASSWORD, ca=f"@{ca}")


def git(proxied: Proxied, account: Account, *words: str, read_only: bool = False) -> tuple[int, str]:
    """Exit status and all that git wrote, run by `isthmus exec`; it must not ask anybody for a password."""
    limit = ("--read-only",) if read_only else ()
    known = ("--account", str(account.id), "--data", str(proxied.data), *limit)
    own = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = proxied.run(*ISTHMUS, "exec", *known, "--", "git", *words, env=own)
    return done.returncode, done.stdout + done.stderr


def test_clone_and_push(proxied: Proxied, account: Account, server: GitServer, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    assert git(proxied, account, "clone", "-q", server.url, str(copy))[0] == 0
    (copy / "random.bin").write_bytes(secrets.token_bytes(2_000_000))  # above http.postBuffer: chunked
    work = ("-C", str(copy))
    proxied.run("git", *work, "add", "-A")
    proxied.run("git", *work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    status, told = git(proxied, account, *work, "push", "-q", "origin", "HEAD:main")
    assert status == 0, told
    assert server.run("log", "--format=%s", "main") == "first\n"
    assert git(proxied, account, "clone", "-q", "-b", "main", server.url, str(other))[0] == 0
    assert (other / "random.bin").read_bytes() == (copy / "random.bin").read_bytes()
    config = (copy / ".git" / "config").read_text()
    assert PASSWORD not in config
    assert "@" not in config  # nor a token in the remote's address


def test_a_token_for_fetching_alone(
    proxied: Proxied, account: Account, server: GitServer, tmp_path: Path
) -> None:
    """Smart HTTP fetches by POST, which a read-only token does not let through: paths do what is meant."""
    status, told = git(proxied, account, "ls-remote", server.url, read_only=True)
    assert (status, "403" in told) == (128, True)
    made = proxied.isthmus(
        *("proxy", "token", "create", "--account", str(account.id), "--path", "/git/demo.git/info/refs"),
        *("--path", "/git/demo.git/git-upload-pack"),
    )
    env = {"HTTPS_PROXY": proxied.url(account, made["token"]), "GIT_SSL_CAINFO": str(proxied.ca)}
    assert proxied.run("git", "clone", "-q", server.url, str(tmp_path / "fetched"), env=env).returncode == 0
    work = ("git", "-C", str(tmp_path / "fetched"), "-c", "user.name=a", "-c", "user.email=a@b")
    proxied.run(*work, "commit", "-q", "--allow-empty", "-m", "not to arrive")
    refused = proxied.run(*work, "push", "-q", "origin", "HEAD:refs/heads/not-to-arrive", env=env)
    assert refused.returncode != 0
    assert "403" in refused.stderr
    assert "not-to-arrive" not in server.run("branch")


def test_without_the_account_git_is_asked_for_a_password(proxied: Proxied, server: GitServer) -> None:
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSL_NO_VERIFY": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = proxied.run("git", "ls-remote", server.url, env=env)
    assert done.returncode != 0
    assert "could not read Username" in done.stderr
