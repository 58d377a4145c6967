"""Who may: every request says who it is, and a token never lets through more than it is for."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.access import tokens
from store.engine import open_database
from store.queries import proxy_tokens
from tests.gateway.proxy.proxied import Account, Proxied
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]


def scoped(proxied: Proxied, account: Account, *words: str) -> dict[str, str]:
    made: dict[str, str] = proxied.isthmus("proxy", "token", "create", "--account", str(account.id), *words)
    return made


@pytest.mark.parametrize("url", ["https", "http"])
def test_no_token_is_a_407_that_says_what_to_send(
    proxied: Proxied, account: Account, store: Apache, plain_store: Apache, url: str
) -> None:
    where = store.url if url == "https" else plain_store.url
    done = proxied.run("curl", "-sS", "-i", "-x", f"http://127.0.0.1:{proxied.proxy_port}", where)
    assert " 407 " in done.stdout.splitlines()[0]
    assert "proxy-authenticate: basic" in done.stdout.lower()


@pytest.mark.parametrize("token", ["wrong", "", "x" * 5000])
def test_a_wrong_token_is_a_407(proxied: Proxied, account: Account, store: Apache, token: str) -> None:
    assert proxied.curl(account, store.url, token=token or ":")[0] == 407


def test_a_token_with_another_accounts_id_is_a_407(
    proxied: Proxied, account: Account, other: Account, store: Apache
) -> None:
    assert proxied.curl(Account(account.id, other.token), store.url)[0] == 407


def test_a_valid_token_does_not_open_another_accounts_host(
    proxied: Proxied, account: Account, other: Account, store: Apache, plain_store: Apache
) -> None:
    assert proxied.curl(other, store.url)[0] == 403
    assert proxied.curl(account, plain_store.url)[0] == 403
    assert proxied.curl(account, "--proxytunnel", plain_store.url)[0] == 403


def test_an_expired_token_is_a_407(proxied: Proxied, account: Account, store: Apache) -> None:
    made = tokens.make()

    async def add() -> None:
        database = open_database(f"sqlite:///{proxied.data / 'isthmus.db'}")
        async with database.session() as session:
            ended = datetime.now(UTC) - timedelta(seconds=1)
            await proxy_tokens.create(session, account.id, tokens.digest(made), expires=ended)
        await database.aclose()

    import asyncio

    asyncio.run(add())
    assert proxied.curl(account, store.url, token=made)[0] == 407


def test_a_revoked_token_is_dead_a_second_later(proxied: Proxied, account: Account, store: Apache) -> None:
    (store.data / "r.txt").write_text("r")
    made = scoped(proxied, account)
    assert proxied.curl(account, f"{store.url}r.txt", token=made["token"])[0] == 200
    proxied.isthmus("proxy", "token", "revoke", str(made["id"]))
    deadline = time.monotonic() + 5
    while proxied.curl(account, f"{store.url}r.txt", token=made["token"])[0] != 407:
        assert time.monotonic() < deadline


def test_a_revoked_token_ends_on_a_connection_that_is_open(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    import http.client
    import ssl
    from base64 import b64encode

    (store.data / "r.txt").write_text("r")
    made = scoped(proxied, account)
    basic = b64encode(f"{account.id}:{made['token']}".encode()).decode()
    connection = http.client.HTTPSConnection(
        "127.0.0.1",
        proxied.proxy_port,
        context=ssl.create_default_context(cafile=str(proxied.ca)),
        timeout=30,
    )
    connection.set_tunnel("localhost", store.port, {"Proxy-Authorization": f"Basic {basic}"})
    statuses = []
    for _ in range(2):
        connection.request("GET", "/r.txt")
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        if len(statuses) == 1:
            proxied.isthmus("proxy", "token", "revoke", str(made["id"]))
            time.sleep(1.1)  # what the page promises: a second
    assert statuses == [200, 407]


def test_a_read_only_token_reads(proxied: Proxied, account: Account, store: Apache) -> None:
    (store.data / "ro.txt").write_text("ro")
    token = scoped(proxied, account, "--read-only")["token"]
    assert proxied.curl(account, f"{store.url}ro.txt", token=token) == (200, "ro")
    assert proxied.curl(account, "-X", "PROPFIND", "-H", "Depth: 1", store.url, token=token)[0] == 207
    status, why = proxied.curl(account, "-X", "PUT", "--data", "x", f"{store.url}ro.txt", token=token)
    assert (status, why) == (403, "isthmus proxy: this token is read-only: PUT is not let through\n")
    assert (store.data / "ro.txt").read_text() == "ro"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("in/a.txt", 200),
        ("inner/a.txt", 403),
        ("in/../a.txt", 403),
        ("in/%2e%2e/a.txt", 403),
        ("in/..%2fa.txt", 403),
        ("in/..;/a.txt", 403),
        ("in/%252e%252e/a.txt", 403),
    ],
)
def test_a_path_prefix_can_not_be_left(
    proxied: Proxied, account: Account, store: Apache, path: str, status: int
) -> None:
    for folder in (store.data, store.data / "in", store.data / "inner"):
        folder.mkdir(exist_ok=True)
        (folder / "a.txt").write_text("a")
    token = scoped(proxied, account, "--path", "/in")["token"]
    assert proxied.curl(account, "--path-as-is", f"{store.url}{path}", token=token)[0] == status


def test_methods_and_hosts_of_a_token(proxied: Proxied, account: Account, store: Apache) -> None:
    (store.data / "m.txt").write_text("m")
    token = scoped(proxied, account, "--method", "GET", "--host", f"localhost:{store.port}")["token"]
    assert proxied.curl(account, f"{store.url}m.txt", token=token)[0] == 200
    assert proxied.curl(account, "-X", "DELETE", f"{store.url}m.txt", token=token)[0] == 403
    token = scoped(proxied, account, "--host", "elsewhere.example")["token"]
    assert proxied.curl(account, f"{store.url}m.txt", token=token)[0] == 403


def test_tokens_by_the_api(proxied: Proxied, account: Account, other: Account, store: Apache) -> None:
    import json

    base = f"http://127.0.0.1:{proxied.port}/v1/accounts/{account.id}/proxy_tokens"

    def ask(*words: str, who: Account = account) -> tuple[int, str]:
        bearer = ("-H", f"Authorization: Bearer {who.token}", "-H", "Content-Type: application/json")
        done = proxied.run("curl", "-sS", "-w", "\n%{http_code}", *bearer, *words)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    status, body = ask("-d", '{"read_only": true, "methods": ["get"], "name": "ci"}', base)
    made = json.loads(body)
    assert (status, made["methods"], made["read_only"]) == (201, ["GET"], True)
    assert made["proxy"]["port"] == proxied.proxy_port
    (store.data / "t.txt").write_text("t")
    assert proxied.curl(account, f"{store.url}t.txt", token=made["token"]) == (200, "t")
    listed = json.loads(ask(base)[1])["objects"]
    assert "ci" in [one["name"] for one in listed]
    assert not any("token" in one for one in listed)
    assert ask(base, who=other)[0] == 404
    assert ask("-X", "DELETE", f"{base}/{made['id']}", who=other)[0] == 404
    assert ask("-X", "DELETE", f"{base}/{made['id']}")[0] == 204
    assert ask("-X", "DELETE", f"{base}/{made['id']}")[0] == 404
    assert ask("-d", '{"paths": ["x"]}', base)[0] == 400
    assert ask("-d", '{"expires": "tomorrow"}', base)[0] == 400


def test_a_token_for_the_proxy_is_none_for_the_api(proxied: Proxied, account: Account, store: Apache) -> None:
    """It would read and write beyond its own limits there, and make tokens without any."""
    token = scoped(proxied, account, "--read-only", "--path", "/team")["token"]
    base = f"http://127.0.0.1:{proxied.port}/v1/accounts/{account.id}"
    for scheme in ("Bearer", "AccountKey", "APIKey", "DeveloperKey"):
        for words in (
            [base],
            [f"{base}/storage/folders/root/contents"],
            [
                "-X",
                "POST",
                f"{base}/raw",
                "-H",
                "X-Kloudless-Raw-Method: GET",
                "-H",
                "X-Kloudless-Raw-URI: /",
            ],
            ["-d", "{}", "-H", "Content-Type: application/json", f"{base}/proxy_tokens"],
        ):
            shown = ("-H", f"Authorization: {scheme} {token}", "-H", "X-Forwarded-For: 127.0.0.1")
            done = proxied.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *shown, *words)
            assert done.stdout == "401", words
