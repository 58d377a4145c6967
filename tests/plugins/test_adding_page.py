"""The page on writing a connector: its code is the example's; no verb, capability or error is left out."""

import re
import textwrap
from dataclasses import fields

import pytest

from connectors.conformance import plugin
from connectors.interface import PROTOCOLS, Capability, Connector, Context, StoreError, errors
from tests.installs import EXAMPLE, ROOT

PAGE = (ROOT / "docs" / "connectors" / "adding.md").read_text()
BLOCKS = re.findall(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
CODE = [(title, text) for language, title, text in BLOCKS if language]


def leaves() -> list[str]:
    """The interface's own errors: the gateway and other tests add some that are no connector's."""
    found = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StoreError)
    ]
    return [kind.__name__ for kind in found if kind is not StoreError]


def test_every_block_of_code_says_its_file() -> None:
    assert len(CODE) > 10
    assert [text for title, text in CODE if not title] == []


@pytest.mark.parametrize(("title", "text"), CODE, ids=[f"{n} {title}" for n, (title, _) in enumerate(CODE)])
def test_code_on_the_page_is_the_examples(title: str, text: str) -> None:
    """Line by line and without a gap, blank lines aside; methods may be without their class's indentation."""
    lines = [line for line in (EXAMPLE / title).read_text().splitlines() if line]
    shown = [line for line in text.splitlines() if line]
    runs = (lines[at : at + len(shown)] for at in range(len(lines) - len(shown) + 1))
    assert any(textwrap.dedent("\n".join(run)).splitlines() == shown for run in runs)


def test_every_verb_and_fact_is_there() -> None:
    facts = ["name", "friendly_name", "category", "settings", "capabilities", "on_gateway"]
    verbs = [*Connector.__abstractmethods__, "child", "normal_id"]
    for word in (*facts, *verbs, *(field.name for field in fields(Context))):
        assert f"`{word}`" in PAGE, word
    assert {name for name in vars(Connector) if not name.startswith("_")} <= {*facts, *verbs}


@pytest.mark.parametrize("capability", Capability)
def test_every_capability_is_there_with_its_methods(capability: Capability) -> None:
    (row,) = re.findall(rf"^\|[^|]*`{capability}`[^|]*\|([^|]*)\|", PAGE, re.MULTILINE)
    methods = [name for name in vars(PROTOCOLS[capability]) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}`" not in row] == []


@pytest.mark.parametrize("leaf", leaves())
def test_every_error_is_there(leaf: str) -> None:
    assert re.search(rf"^\|[^|]*`{leaf}`", PAGE, re.MULTILINE)


def test_every_option_of_the_kit_is_there() -> None:
    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    options = [name for option in parser.getgroup("isthmus").options for name in option.names()]
    assert options
    assert [name for name in options if f"`{name}`" not in PAGE] == []


def test_the_commands_name_the_example() -> None:
    commands = [text for language, _, text in BLOCKS if not language and "examples/sqlar/" not in text]
    assert any("-p connectors.conformance.plugin --pyargs connectors.conformance.live" in c for c in commands)
    settings = re.findall(r"--set (\w+)=", "".join(commands))
    assert set(settings) == {"path", "create"}
