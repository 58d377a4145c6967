"""Keys, join tokens, and the settings file that goes with them."""

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest

from connect_agent.identity import Identity, IdentityError, JoinToken, from_base64, to_base64, write_private
from connect_agent.settings import Proxy, Settings, SettingsError, choose_proxy

NOW = 1_000_000.0


def token(**changes: object) -> str:
    fields = {
        "g": "https://gw.example/",
        "n": "office",
        "s": "s3cret",
        "f": "AB" * 32,
        "e": NOW + 60,
        **changes,
    }
    return "isthmus1." + base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def test_a_key_is_saved_for_its_owner_only_and_loads_again(tmp_path: Path) -> None:
    made = Identity.create()
    made.save(tmp_path / "sub" / "agent.key")
    assert stat.S_IMODE((tmp_path / "sub" / "agent.key").stat().st_mode) == 0o600
    assert Identity.load(tmp_path / "sub" / "agent.key").public_key == made.public_key
    assert len(made.public_key) == 32
    assert "key=" not in repr(made)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Identity.create().save(tmp_path / "agent.key")
    (tmp_path / "agent.key").chmod(0o640)
    with pytest.raises(IdentityError, match="chmod 600"):
        Identity.load(tmp_path / "agent.key")


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_reported(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / "agent.key", content)
    with pytest.raises(IdentityError, match="join again"):
        Identity.load(tmp_path / "agent.key")


def test_a_token_is_read_and_keeps_its_secret_out_of_its_text() -> None:
    read = JoinToken.parse(f"  {token()}\n", now=NOW)
    assert (read.gateway, read.network, read.secret) == ("https://gw.example", "office", "s3cret")
    assert "s3cret" not in repr(read)


def test_a_token_knows_its_hub() -> None:
    key = Identity.create().public_key
    read = JoinToken.parse(token(f=hashlib.sha256(key).hexdigest()), now=NOW)
    assert read.is_for(key)
    assert not read.is_for(Identity.create().public_key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a join token"),
        ("isthmus2.xx", "not a join token"),
        ("isthmus1.", "damaged"),
        ("isthmus1.%%%", "damaged"),
        ("isthmus1.W10", "damaged"),
        (token()[:-9], "damaged"),
        (token(s=7), "damaged"),
        (token(s=""), "damaged"),
        (token(e=None), "damaged"),
        (token(g="ftp://gw"), "no gateway URL"),
        (token(e=NOW), "expired"),
        (token(f="ü"), "damaged"),
    ],
)
def test_a_token_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(IdentityError, match=says) as caught:
        JoinToken.parse(text, now=NOW)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64_round_trip(data: bytes) -> None:
    assert from_base64(to_base64(data)) == data


def settings(path: Path, **changes: object) -> Settings:
    values: dict[str, object] = {
        "gateway": "https://gw.example",
        "connect": ("wss://gw.example/connect",),
        "agent_id": 7,
        "network": "office",
        "hub_public_key": to_base64(bytes(32)),
    }
    return Settings(path=path, **{**values, **changes})  # type: ignore[arg-type]  # each of the right type


def test_settings_survive_the_file(tmp_path: Path) -> None:
    odd = 'q"\\\n\t\x7fü😀'
    written = settings(tmp_path / "a.toml", allow=("10.0.0.0/8:22", "nas:445"), name=odd, linger=1.5)
    written.save()
    assert Settings.load(tmp_path / "a.toml") == written
    assert stat.S_IMODE((tmp_path / "a.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense = 1", "no setting 'nonsense'"),
        ("linger = 'x'", "linger must be a number"),
        ("linger = true", "linger must be a number"),
        ("allow = 'a:1'", "allow must be a list"),
        ("allow = ['nas']", "has no port"),
        ("ping_deadline = 0", "ping_deadline must be more than 0"),
        ("pin = 'abc'", "pin must be a SHA-256"),
        ("proxy = 'socks5://u:hunter2@h'", "proxy: write it as"),
        ("= 1", "not TOML"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, line: str, says: str) -> None:
    settings(tmp_path / "a.toml").save()
    with (tmp_path / "a.toml").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(SettingsError, match=says) as caught:
        Settings.load(tmp_path / "a.toml")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_says_how_to_join(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="isthmus-agent join"):
        Settings.load(tmp_path / "none.toml")


def test_a_ca_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"ca_file: .*ca\.pem"):
        settings(tmp_path / "a.toml", ca_file="ca.pem").tls()


def test_the_proxy_setting_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert choose_proxy("http://set:8080", "wss://gw.example") == Proxy("set", 8080)
    assert choose_proxy("", "wss://gw.example") == Proxy("env", 3128)
    assert choose_proxy("", "wss://inside.example/connect") is None
    assert choose_proxy("none", "wss://gw.example") is None


def test_a_proxy_password_is_unquoted_and_never_shown() -> None:
    proxy = Proxy.parse("http://user:p%40ss@proxy:3128")
    assert (proxy.username, proxy.password) == ("user", "p@ss")
    assert "p@ss" not in repr(proxy)
    assert proxy.shown == "http://proxy:3128"
