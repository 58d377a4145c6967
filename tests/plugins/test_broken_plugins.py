"""Broken plugins: the gateway says why they can't be used, and does everything else."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.installs import ROOT
from tests.plugins.operator import Operator, Served
from tests.plugins.tiny import GOOD, Tiny, install

pytestmark = pytest.mark.slow

UNSAYABLE = "from collections.abc import Callable" + GOOD.replace("    pass", "    value: Callable[[], int]")
ALL = [
    Tiny("a-good-one", "good", GOOD),
    Tiny("no-library", "no_library", "import a_library_that_nobody_has"),
    Tiny("no-name", "no_name", "from connectors.interface import NoSuchThing"),
    Tiny("no-syntax", "no_syntax", "def ("),
    Tiny("raises", "raises", "raise RuntimeError('[/first] line\\nsecond line')"),
    Tiny("leaves", "leaves", "import sys; sys.exit(3)"),
    Tiny("no-class", "no_class", "Tiny = 42"),
    Tiny("another-class", "another_class", "class Tiny: pass"),
    Tiny("no-attribute", "no_attribute", "x = 1"),
    Tiny("no-value", "no_value", GOOD, "MODULE:Tiny()"),
    Tiny("no-verb", "no_verb", GOOD.replace("read = write = ", "")),
    Tiny("no-friendly-name", "no_friendly_name", GOOD.replace('    friendly_name = "Tiny"\n', "")),
    Tiny("promises", "promises", GOOD + "    capabilities = frozenset({'move', 'search'})\n"),
    Tiny("hides", "hides", GOOD + "    move = no\n"),
    Tiny("odd-capabilities", "odd_capabilities", GOOD + "    capabilities = None\n"),
    Tiny("calls-itself", "calls_itself", GOOD.replace("NAME", "otherwise")),
    Tiny("no-identifier", "No-Identifier", GOOD),
    Tiny("other-settings", "other_settings", GOOD.replace("(Settings)", "")),
    Tiny("no-schema", "no_schema", UNSAYABLE),
    Tiny("takes-ours", "local", GOOD),
    Tiny("takes-anothers", "good", GOOD),
]
WHY = {
    "no_library": "no-library: its library is not installed (a_library_that_nobody_has)",
    "no_name": "no-name: loading it failed: ImportError: cannot import name 'NoSuchThing'",
    "no_syntax": "no-syntax: loading it failed: SyntaxError: ",
    "raises": "raises: loading it failed: RuntimeError: [/first] line",
    "leaves": "leaves: loading it failed: SystemExit: 3",
    "no_class": "no-class: its entry point leads to no subclass of connectors.interface.Connector",
    "another_class": "another-class: its entry point leads to no subclass of connectors.interface.Connector",
    "no_attribute": "no-attribute: loading it failed: AttributeError: ",
    "no_value": "no-value: loading it failed: ",
    "no_verb": "no-verb: Tiny lacks read, write",
    "no_friendly_name": "no-friendly-name: Tiny does not say its friendly_name",
    "promises": "promises: Tiny declares what it does not implement: move, search",
    "hides": "hides: Tiny implements what it does not declare: move",
    "odd_capabilities": "odd-capabilities: loading it failed: TypeError: ",
    "calls_itself": "calls-itself: Tiny calls itself 'otherwise', its entry point 'calls_itself'",
    "No-Identifier": "no-identifier: its name is no identifier",
    "other_settings": "other-settings: its settings are no subclass of connectors.interface.Settings",
    "no_schema": "no-schema: loading it failed: PydanticInvalidForJsonSchema: ",
    "local (takes-ours)": "the name is taken by isthmus",
    "good (takes-anothers)": "the name is taken by a-good-one",
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    folder = tmp_path_factory.mktemp("broken")
    install(ALL, folder)
    path = os.pathsep.join((str(folder / "site"), str(ROOT)))
    command = [sys.executable, "-m", "gateway.cli.main"]
    return Operator(command, folder, {"PYTHONPATH": path, "LANG": "C.UTF-8"})


@pytest.fixture(scope="module")
def served(operator: Operator) -> Iterator[Served]:
    (operator.folder / "files").mkdir()
    with operator.serving("local", root=str(operator.folder / "files")) as served:
        yield served


def test_each_is_listed_with_why(operator: Operator) -> None:
    rows = operator.isthmus("connectors", "list")["connectors"]
    why = {row["name"]: row["why"] for row in rows if not row["installed"]}
    assert why.keys() - WHY.keys() == set()
    for name, said in WHY.items():
        assert why[name].startswith(said), name
        assert "\n" not in why[name]
    usable = {row["name"]: row["friendly_name"] for row in rows if row["installed"]}
    assert (usable["good"], usable["local"]) == ("Tiny", "Local folder")
    assert {"sftp", "webdav", "s3"} <= usable.keys()


def test_the_table_for_people_has_them_too(operator: Operator) -> None:
    shown = replace(operator, environment=operator.environment | {"COLUMNS": "400"})._run(
        "connectors", "list"
    )
    assert shown.returncode == 0
    for name, said in WHY.items():
        assert name in shown.stdout
        assert said in shown.stdout


def test_the_gateway_serves_all_the_same(operator: Operator, served: Served) -> None:
    made = served.upload("file", b"bytes")
    assert served.storage("GET", f"files/{made['id']}/contents").content == b"bytes"
    assert (operator.folder / "files" / "file").read_bytes() == b"bytes"
    services = {each["name"] for each in served.call("GET", "/public/services").json()["objects"]}
    assert "good" in services
    assert services & WHY.keys() == set()


def test_an_account_on_one_is_refused_with_why(operator: Operator, served: Served) -> None:
    said = operator.refused("account", "add", "no_verb", "--app", served.app)
    assert "the no_verb connector can't be used: no-verb: Tiny lacks read, write" in said
    said = operator.refused("account", "add", "nothing", "--app", served.app)
    assert "there is no connector 'nothing'" in said
