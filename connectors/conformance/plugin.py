r"""The pytest plugin: the kit against a store of one's own, from any folder and any distribution.

    pytest -p connectors.conformance.plugin --pyargs connectors.conformance.live \
        --connector NAME --set KEY=VALUE ...

| option | |
|---|---|
| `--connector NAME` | the service identifier of an installed connector |
| `--set KEY=VALUE` | a setting, any number of times; digits are a number, `KEY=@FILE` the text of a file |
| `--idle-timeout SECONDS` | how long the store may be silent; 20 |

Each test works in a folder of its own under the account's root and removes it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors import registry
from connectors.conformance.direct import Direct
from connectors.conformance.kit import Store
from connectors.interface import Unsupported

_STORE = pytest.StashKey[Store]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("isthmus", "Isthmus: conformance of a connector")
    group.addoption("--connector", metavar="NAME", help="the connector to test, by its service identifier")
    group.addoption(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting; @FILE is read from a file"
    )
    group.addoption(
        "--idle-timeout", type=float, default=20.0, metavar="SECONDS", help="how long the store may be silent"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Checks the options once, before any test: a wrong one is the caller's, not the connector's."""
    service = config.getoption("--connector")
    if service is None:
        return
    try:
        kind = registry.require(service)
    except Unsupported as error:
        raise pytest.UsageError(registry.missing().get(service, error.message)) from None
    settings = dict(_setting(text) for text in config.getoption("--set"))
    try:
        kind.settings.model_validate(settings)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        raise pytest.UsageError(f"the settings of {service} (--set): {said}") from None
    config.stash[_STORE] = Store(kind, settings, Direct(), config.getoption("--idle-timeout"))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is tested."""
    store = config.stash.get(_STORE, None)
    if store is None:
        return []
    able = ", ".join(sorted(store.kind.capabilities)) or "none"
    return [f"isthmus: connector {store.kind.name} ({store.kind.__module__}), capabilities: {able}"]


@pytest.fixture
def live_store(request: pytest.FixtureRequest) -> Store:
    """The store that the options name."""
    store = request.config.stash.get(_STORE, None)
    if store is None:
        raise pytest.UsageError("give --connector NAME and its settings by --set KEY=VALUE")
    return store


def _setting(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise pytest.UsageError(f"--set wants KEY=VALUE, not {key!r}")
    if value.startswith("@"):
        return key, Path(value[1:]).read_text()
    return key, json.loads(value) if value in ("true", "false") or value.isdecimal() else value
