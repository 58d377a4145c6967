"""Every kind of authorisation that accounts of the connector `http` declare, by real curl through the proxy.

The APIs are real Apaches that let nobody in without it, and tell in a header and a body what arrived.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from connectors.http1.authorisation import spellings
from tests.gateway.proxy.proxied import ENVIRONMENT, Account, Proxied
from tests.servers.apache import PASSWORD
from tests.servers.guarded import KINDS, TOKEN, Guarded, guarded
from tests.servers.oauth_site import oauth_site
from tests.servers.token_double import TokenDouble, token_double

pytestmark = [pytest.mark.server, pytest.mark.journey]

OVER_TLS = ("bearer", "query")


@dataclass(frozen=True)
class Connected:
    """An API, and an account on it."""

    proxied: Proxied
    api: Guarded
    account: Account

    def curl(self, path: str, *words: str) -> tuple[int, str]:
        return self.proxied.curl(self.account, *words, f"{self.api.url}{path}")

    def raw(self, method: str, uri: str, *words: str) -> tuple[int, str]:
        """The same request by the API's pass-through."""
        done = self.proxied.run(
            *("curl", "-sS", "-X", "POST", "-w", "\n%{http_code}", "-H", f"X-Kloudless-Raw-Method: {method}"),
            *(
                "-H",
                f"X-Kloudless-Raw-URI: {uri}",
                "-H",
                f"Authorization: APIKey {self.proxied.app['api_key']}",
            ),
            *(*words, f"http://127.0.0.1:{self.proxied.port}/v1/accounts/{self.account.id}/raw"),
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


def connected(proxied: Proxied, api: Guarded, settings: dict[str, str]) -> Connected:
    """An account, and a token of the proxy for it, by the gateway's API."""
    made = ask(proxied, "POST", "", {"service": "http", **settings})
    assert made.status_code == 201, made.text
    number: int = made.json()["id"]
    token = ask(proxied, "POST", f"/{number}/proxy_tokens", {})
    assert token.status_code == 201, token.text
    return Connected(proxied, api, Account(number, token.json()["token"]))


def ask(proxied: Proxied, method: str, path: str, body: dict[str, str] | None = None) -> requests.Response:
    url, headers = accounts(proxied) + path, {"Authorization": key(proxied)}
    return requests.request(method, url, json=body, headers=headers, timeout=60)


def accounts(proxied: Proxied) -> str:
    return f"http://127.0.0.1:{proxied.port}/v1/accounts"


def key(proxied: Proxied) -> str:
    return f"APIKey {proxied.app['api_key']}"


@pytest.fixture(scope="module")
def every(proxied: Proxied, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Connected]]:
    with ExitStack() as stack:
        found = {}
        for kind in KINDS:
            folder = tmp_path_factory.mktemp(kind)
            api = stack.enter_context(guarded(folder, kind, tls=kind in OVER_TLS))
            found[kind] = connected(proxied, api, api.settings)
        yield found


@pytest.fixture(params=KINDS)
def one(every: dict[str, Connected], request: pytest.FixtureRequest) -> Connected:
    return every[request.param]


@pytest.fixture(scope="module")
def bearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The API that a token server's tokens are for; its 401s do not say what they want."""
    with guarded(tmp_path_factory.mktemp("bearing"), "bearer", challenges=False) as running:
        running.put("a.txt", b"bytes")
        yield running


@pytest.fixture
def double(bearing: Guarded) -> Iterator[TokenDouble]:
    with token_double(bearing.token) as running:
        yield running


@pytest.fixture
def oauth(proxied: Proxied, bearing: Guarded, double: TokenDouble) -> Connected:
    """An account with a token, the first."""
    made = connected(proxied, bearing, double.settings(url=bearing.url))
    assert made.curl("a.txt") == (200, "bytes")
    return made


def test_curl_reads_and_writes(one: Connected) -> None:
    one.api.put("a.txt", b"from the API")
    assert one.curl("a.txt") == (200, "from the API")
    assert one.raw("GET", "a.txt") == (200, "from the API")
    assert one.curl("new.txt", "-X", "PUT", "--data-binary", "new")[0] == 201
    assert (one.api.apache.data / "new.txt").read_text() == "new"


def test_the_unified_api_reads_files_and_says_what_http_lacks(every: dict[str, Connected]) -> None:
    one = every["query"]
    one.api.put("below/a.txt", b"0123456789")
    storage = f"/{one.account.id}/storage"
    named = {"raw_id": "below/a.txt", "type": "file"}
    file = ask(one.proxied, "POST", f"/{one.account.id}/encode_raw_id", named).json()["id"]
    assert ask(one.proxied, "GET", f"{storage}/files/{file}").json()["size"] == 10
    assert ask(one.proxied, "GET", f"{storage}/files/{file}/contents").content == b"0123456789"
    for method, path in (("GET", "folders/root/contents"), ("DELETE", f"files/{file}")):
        told = ask(one.proxied, method, f"{storage}/{path}")
        assert (told.status_code, "raw requests or the native proxy" in told.text) == (501, True)


MINE = ("-H", "Authorization: Bearer of-mine", "-H", "X-Api-Key: of-mine", "-H", "X_Api_Key: of-mine")


def test_what_the_client_says_itself_does_not_arrive(every: dict[str, Connected]) -> None:
    for kind, arrives in (("basic", "HTTP_AUTHORIZATION=Basic *"), ("bearer", "HTTP_AUTHORIZATION=Bearer *")):
        for told in (every[kind].curl("echo/x", *MINE), every[kind].raw("GET", "echo/x", *MINE[2:])):
            assert told[0] == 200
            assert arrives in told[1]
            assert "HTTP_AUTHORIZATION=Bearer of-mine" not in told[1]
    for told in (every["header"].curl("echo/x", *MINE), every["header"].raw("GET", "echo/x", *MINE[2:])):
        assert told[0] == 200
        assert "HTTP_X_API_KEY=Key *" in told[1]
        assert "of-mine" not in told[1]
    mine = "echo/x?a=1&api_key=of-mine&API%5FKEY=of-mine&b"
    for told in (every["query"].curl(mine), every["query"].raw("GET", mine)):
        assert told[0] == 200
        assert "QUERY_STRING=a=1&b&api_key=*" in told[1]
        assert "of-mine" not in told[1]
    assert "of-mine" not in every["none"].curl("echo/x", *MINE[:2])[1]


def test_what_was_put_in_does_not_come_back(one: Connected) -> None:
    for status, told in (one.curl("echo/x", "-i"), one.raw("GET", "echo/x", "-i")):
        assert status == 200
        assert not [spelled for spelled in spellings(TOKEN, PASSWORD) if spelled in told]
        if one.api.settings["auth"] != "none":
            assert told.count("********") >= 2  # in the header and in the body


def test_an_encoded_secret_is_masked_too(every: dict[str, Connected]) -> None:
    encoded = quote(TOKEN, safe="")
    assert encoded != TOKEN
    status, told = every["query"].curl("echo/x", "-i")
    assert status == 200
    assert told.count(f"api_key={'*' * len(encoded)}") >= 2


def test_a_secret_that_is_wrong_is_a_401_without_a_challenge(
    proxied: Proxied, every: dict[str, Connected]
) -> None:
    api = every["header"].api
    wrong = connected(proxied, api, {**api.settings, "token": "another"})
    status, told = wrong.curl("a.txt", "-i")
    assert status == 401
    assert "www-authenticate" not in told.lower()
    assert wrong.raw("GET", "a.txt")[0] == 403  # the gateway's own: its 401 would be about the caller's token


def test_an_account_is_tried_as_it_is_added(proxied: Proxied, every: dict[str, Connected]) -> None:
    settings = {**every["header"].api.settings, "token": "another"}
    words = [f"--set={name}={value}" for name, value in settings.items()]
    made = proxied.isthmus("account", "add", "http", "--app", proxied.app["id"], *words)
    assert made["checked"] == "failed: the API does not accept the account's credential"


def test_a_token_that_was_revoked_costs_the_program_nothing(
    oauth: Connected, bearing: Guarded, double: TokenDouble
) -> None:
    double.revoke()
    before = len(bearing.log())
    assert oauth.curl("a.txt") == (200, "bytes")
    assert bearing.log()[before:] == [("GET", "401"), ("GET", "200")]
    assert len(double.issued) == 2


def test_the_pass_through_of_the_api_renews_it_too(oauth: Connected, double: TokenDouble) -> None:
    double.revoke()
    assert oauth.raw("PUT", "raw.txt", "--data-binary", "a small body is held")[0] == 201
    assert len(double.issued) == 2


def test_a_body_is_gone_when_it_is_refused_and_the_next_one_arrives(
    oauth: Connected, bearing: Guarded, double: TokenDouble
) -> None:
    double.revoke()
    put = ("-X", "PUT", "--data-binary", "a body", "-i")
    status, told = oauth.curl("body.txt", *put)
    assert status == 401
    assert double.issued[0] not in told  # in X-Echo, which a refusal has too
    assert "Bearer ****" in told
    assert oauth.curl("body.txt", *put)[0] == 201
    assert (bearing.apache.data / "body.txt").read_text() == "a body"
    assert len(double.issued) == 2


def test_many_programs_at_once_cost_one_token(
    proxied: Proxied, oauth: Connected, double: TokenDouble
) -> None:
    double.revoke()
    command = ("curl", "-sS", "--max-time", "60", "-x", proxied.url(oauth.account), f"{oauth.api.url}a.txt")
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) for _ in range(20)]
    assert [one.communicate(timeout=60)[0] for one in running] == [b"bytes"] * 20
    assert len(double.issued) == 2


def test_an_api_that_takes_no_token_is_not_a_reason_to_ask_for_ever(
    oauth: Connected, double: TokenDouble
) -> None:
    double.works = False
    double.revoke()
    for _ in range(3):
        assert oauth.curl("a.txt")[0] == 401
    assert 1 < len(double.issued) <= 1 + 3


def test_a_token_server_that_says_no(oauth: Connected, double: TokenDouble) -> None:
    double.revoke()
    double.faults = [(400, "invalid_client")] * 2
    assert oauth.curl("a.txt")[0] == 401
    assert oauth.raw("GET", "a.txt")[0] == 403
    assert oauth.curl("a.txt") == (200, "bytes")


def test_a_real_token_server(proxied: Proxied, every: dict[str, Connected], tmp_path: Path) -> None:
    with oauth_site(tmp_path) as site:
        for client in ("machine", "person"):
            made = connected(proxied, every["none"].api, site.settings(client)).account
            assert proxied.curl(made, f"{site.api}file.txt") == (200, "protected")
            site.revoke()
            assert proxied.curl(made, f"{site.api}file.txt") == (200, "protected")
