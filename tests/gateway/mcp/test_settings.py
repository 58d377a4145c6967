"""What the MCP server takes as its settings, and what it says about the rest."""

from pathlib import Path

import pytest

from gateway.mcp import main, settings
from gateway.mcp.settings import BadSetting, Listening, Settings

TOKEN = "x" * 40


def test_the_gateways_url() -> None:
    for given in ("https://gateway.example", "https://gateway.example/", "https://gateway.example/v1/"):
        assert settings.gateway_url(given) == "https://gateway.example"
    for wrong in ("gateway.example", "ftp://x", "https://user@gateway.example", "https://", "http://x?y"):
        with pytest.raises(BadSetting, match="--url"):
            settings.gateway_url(wrong)


def test_tokens_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text("one\n\n two \n")
    assert settings.authorization(file, ()) == "Bearer one,two"
    monkeypatch.setenv("ISTHMUS_TOKEN", "three")
    assert settings.authorization(None, ()) == "Bearer three"
    assert settings.authorization(file, ()) == "Bearer one,two"
    monkeypatch.delenv("ISTHMUS_TOKEN")
    with pytest.raises(BadSetting, match="ISTHMUS_TOKEN"):
        settings.authorization(None, ())
    with pytest.raises(BadSetting, match="No such file"):
        settings.authorization(tmp_path / "none", ())


def test_an_api_key_needs_a_choice_of_accounts(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("APIKey k\n")
    assert settings.authorization(file, {7}) == "APIKey k"
    with pytest.raises(BadSetting, match="--account"):
        settings.authorization(file, ())
    file.write_text("a\nAPIKey k")
    with pytest.raises(BadSetting):
        settings.authorization(tmp_path / "nothing", {7})


@pytest.mark.parametrize("given", ["8000", "127.0.0.1:8000", "[::1]:8000", "localhost:8000"])
def test_loopback_by_default(given: str, tmp_path: Path) -> None:
    listening = settings.listening(given, tmp_path / "token", ())
    assert settings.is_loopback(listening.host)
    assert listening.port == 8000
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert settings.listening(given, tmp_path / "token", ()) == listening
    hosts = main.security(listening).allowed_hosts
    assert "127.0.0.1:8000" in hosts
    assert not any("*" in host for host in hosts)


def test_beyond_this_machine_only_under_names_that_are_given(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(BadSetting, match="--allow-host"):
        settings.listening("0.0.0.0:8000", token, ())
    listening = settings.listening("0.0.0.0:8000", token, ["mcp.example"])
    allowed = main.security(listening)
    assert allowed.enable_dns_rebinding_protection
    assert set(allowed.allowed_hosts) == {"mcp.example", "mcp.example:8000"}
    for wrong in ("", "x", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000"):
        with pytest.raises(BadSetting, match="--http"):
            settings.listening(wrong, token, ())
    with pytest.raises(BadSetting, match="--http-token-file"):
        settings.listening("8000", None, ())
    token.write_text("short")
    with pytest.raises(BadSetting, match="16 characters"):
        settings.listening("8000", token, ())


def test_no_secret_is_shown() -> None:
    made = Settings("https://x", f"Bearer {TOKEN}", http=Listening("127.0.0.1", 1, TOKEN))
    assert TOKEN not in repr(made)
