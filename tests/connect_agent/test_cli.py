"""The commands: exit status, words, JSON; what they write and never print."""

import base64
import dataclasses
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connect_agent import cli, enrolment
from connect_agent.identity import Identity, JoinToken, fingerprint, to_base64
from connect_agent.settings import Settings
from connect_agent.way import Way

HUB_KEY = Identity.create().public_key


def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, list(words), input=stdin)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """A token whose gateway is a double that lets everyone join."""

    def joins(token: JoinToken, public_key: bytes, name: str, way: Way) -> enrolment.Joined:
        return enrolment.Joined(7, token.network, HUB_KEY, ("ws://127.0.0.1:1/connect",))

    monkeypatch.setattr(enrolment, "enrol", joins)
    fields = {"g": "http://127.0.0.1:1", "n": "office", "s": "s3cret", "f": fingerprint(HUB_KEY)}
    text = json.dumps({**fields, "e": time.time() + 60}).encode()
    return "isthmus1." + base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    Settings(path, "http://gw", ("ws://gw/connect",), 7, "office", to_base64(HUB_KEY)).save()
    return path


@pytest.mark.parametrize("by_stdin", [False, True])
def test_join_writes_key_and_settings_for_the_owner_only(token: str, tmp_path: Path, by_stdin: bool) -> None:
    config = tmp_path / "new" / "agent.toml"
    words = ["join", "-" if by_stdin else token, "--config", str(config), "--json"]
    code, out, errors = run(*words, "--allow", "nas:445", "--allow", "10.0.0.0/8:22", stdin=f"{token}\n")
    assert code == 0, errors
    assert json.loads(out) == {
        "agent_id": 7,
        "network": "office",
        "config": str(config),
        "allow": ["nas:445", "10.0.0.0/8:22"],
    }
    settings = Settings.load(config)
    assert settings.hub_key == HUB_KEY
    Identity.load(settings.key_path)
    assert {stat.S_IMODE(path.stat().st_mode) for path in config.parent.iterdir()} == {0o600}
    assert "s3cret" not in config.read_text() + out


def test_joining_twice_needs_to_be_said(token: str, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    assert run("join", token, "--config", str(config))[0] == 0
    before = config.read_text()
    code, _, errors = run("join", token, "--config", str(config))
    assert code == 1
    assert "--replace" in errors
    assert config.read_text() == before
    assert run("join", token, "--config", str(config), "--replace")[0] == 0


def test_a_bad_entry_uses_no_token_up(token: str, tmp_path: Path) -> None:
    code, _, errors = run("join", token, "--config", str(tmp_path / "a.toml"), "--allow", "nas")
    assert code == 1
    assert "write HOST:PORT" in errors
    assert not (tmp_path / "a.toml").exists()


@pytest.mark.parametrize("text", ["nonsense", "isthmus1.AAAA"])
def test_a_bad_token_is_reported_without_a_traceback(text: str, tmp_path: Path) -> None:
    code, out, errors = run("join", text, "--config", str(tmp_path / "a.toml"))
    assert code == 1
    assert errors.startswith("isthmus-agent: ")
    assert "Traceback" not in out + errors


def test_allow_adds_once_and_removes(config: Path) -> None:
    code, out, _ = run("allow", "nas:445", "NAS:445", "*.corp:22", "--config", str(config), "--json")
    assert code == 0
    assert json.loads(out) == {"allow": ["nas:445", "*.corp:22"]}
    assert Settings.load(config).allow == ("nas:445", "*.corp:22")
    assert run("allow", "nas:445", "--remove", "--config", str(config))[1] == "*.corp:22\n"
    code, _, errors = run("allow", "nas:445", "--remove", "--config", str(config))
    assert code == 1
    assert "not on the allow-list" in errors


def test_a_bad_entry_changes_nothing(config: Path) -> None:
    code, _, errors = run("allow", "good:1", "bad", "--config", str(config))
    assert code == 1
    assert "write HOST:PORT" in errors
    assert Settings.load(config).allow == ()


@pytest.mark.parametrize(
    ("target", "allowed", "why"),
    [
        ("127.0.0.1:22", True, "lists the loopback address"),
        ("127.0.0.1:23", False, "loopback"),
        ("10.0.0.1:22", True, "allows the address"),
        ("[::ffff:10.0.0.1]:22", True, "allows the address"),
        ("nas.invalid:445", False, "does not resolve"),
        ("other.invalid:445", False, "no entry has other.invalid"),
        ("169.254.169.254:22", False, "cloud metadata"),
    ],
)
def test_explain(config: Path, target: str, allowed: bool, why: str) -> None:
    run("allow", "127.0.0.1:22", "10.0.0.0/8:22", "nas.invalid:445", "--config", str(config))
    code, out, errors = run("explain", target, "--config", str(config), "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    assert found["allowed"] is allowed
    assert why in found["why"]
    code, out, _ = run("explain", target, "--config", str(config))
    assert out.startswith(f"{target} is {'allowed' if allowed else 'refused'}: ")


@pytest.mark.parametrize("target", ["nas", "nas:", ":22", "nas:x", "fd12::7:22", "nas:²", "nas:1234567"])
def test_explain_says_how_it_wants_its_question(config: Path, target: str) -> None:
    code, _, errors = run("explain", target, "--config", str(config))
    assert code == 1
    assert "write HOST:PORT" in errors


def test_status_of_an_agent_that_never_ran(config: Path) -> None:
    code, out, _ = run("status", "--config", str(config), "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["running"], found["connected"], found["agent_id"]) == (False, False, 7)
    assert "not running" in run("status", "--config", str(config))[1]


def test_status_of_an_agent_that_died_is_not_believed(config: Path) -> None:
    settings = Settings.load(config)
    tunnel = {"url": "ws://gw/connect", "connected": True, "streams": 1}
    status = {"written": time.time() - 60, "running": True, "note": "", "tunnels": [tunnel]}
    settings.status_path.write_text(json.dumps(status))
    assert json.loads(run("status", "--config", str(config), "--json")[1])["running"] is False
    settings.status_path.write_text(json.dumps({**status, "written": time.time()}))
    assert "connected" in run("status", "--config", str(config))[1]


@pytest.mark.parametrize("command", [["run"], ["status"], ["doctor"], ["explain", "a:1"], ["allow", "a:1"]])
def test_without_settings_each_command_says_how_to_join(command: list[str], tmp_path: Path) -> None:
    code, _, errors = run(*command, "--config", str(tmp_path / "none.toml"))
    assert code == 1
    assert "isthmus-agent join" in errors


def test_run_without_its_key_says_so(config: Path) -> None:
    code, _, errors = run("run", "--config", str(config))
    assert code == 1
    assert "join again" in errors


@pytest.mark.parametrize("setting", sorted(f.name for f in dataclasses.fields(Settings) if f.name != "path"))
def test_every_setting_is_documented(setting: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "agent.md"
    assert f"`{setting}`" in page.read_text(encoding="utf-8")
