"""Findings that need no gateway: key, allow-list, clock. Those that do are tested beside the hub."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from connect_agent import doctor
from connect_agent.doctor import Finding, Level
from connect_agent.identity import Identity, to_base64
from connect_agent.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        tmp_path / "agent.toml",
        "http://gw",
        ("ws://gateway.invalid/connect",),
        7,
        "office",
        to_base64(bytes(32)),
    )


async def one(settings: Settings, check: str) -> Finding:
    return next(finding for finding in await doctor.examine(settings) if finding.check == check)


async def test_a_missing_key(settings: Settings) -> None:
    found = await one(settings, "key")
    assert found.level is Level.BAD
    assert found.advice


async def test_a_key_that_others_can_read(settings: Settings) -> None:
    Identity.create().save(settings.key_path)
    assert (await one(settings, "key")).level is Level.GOOD
    settings.key_path.chmod(0o644)
    assert "chmod 600" in (await one(settings, "key")).saw


async def test_every_finding_that_is_not_good_says_what_to_do(settings: Settings) -> None:
    for finding in await doctor.examine(settings):
        assert finding.advice or finding.level is Level.GOOD


@pytest.mark.parametrize(
    ("off", "level", "says"),
    [(0, Level.GOOD, "within"), (3600, Level.WARNING, "behind"), (-3600, Level.WARNING, "ahead of")],
)
def test_the_clock_is_held_against_the_gateways(off: int, level: Level, says: str) -> None:
    theirs = datetime.now(UTC) + timedelta(seconds=off)
    found = doctor._clock(format_datetime(theirs, usegmt=True))
    assert found.level is level
    assert says in found.saw


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_gateway_without_a_date(date: str) -> None:
    assert doctor._clock(date).level is Level.SKIPPED


async def test_explain_decides_on_every_address(settings: Settings) -> None:
    found = await doctor.explain(settings, "localhost", 22)
    assert not found["allowed"]
    assert "empty" in found["why"]
