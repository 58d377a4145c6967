"""The pytest plugin: `--connector NAME --set KEY=VALUE` run the tests against a store of one's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.conformance.direct import Direct
from connectors.conformance.kit import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("isthmus", "Isthmus: conformance of a connector")
    group.addoption("--connector", help="the connector to test, by its service identifier")
    group.addoption(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting; @FILE is read from a file"
    )


@pytest.fixture
def live_store(request: pytest.FixtureRequest) -> Store:
    """The store that the options name."""
    service = request.config.getoption("--connector")
    if service is None:
        raise pytest.UsageError("give --connector NAME and its settings by --set KEY=VALUE")
    settings = dict(_setting(text) for text in request.config.getoption("--set"))
    return Store(registry.require(service), settings, Direct())


def _setting(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise pytest.UsageError(f"--set wants KEY=VALUE, not {key!r}")
    if value.startswith("@"):
        return key, Path(value[1:]).read_text()
    try:
        return key, json.loads(value) if value in ("true", "false") or value.isdigit() else value
    except json.JSONDecodeError:
        return key, value
