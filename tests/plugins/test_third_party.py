"""A connector of somebody else: its own distribution, installed beside ours, which knows nothing of it.

Both wheels are built and installed in fresh environments (tests/installs.py): one as an operator has it,
`isthmus[gateway]` and the connector; one as the connector's author has it, with what its tests ask for.
"""

import ast
import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.installs import EXAMPLE, Environment, built, copied_to, fresh
from tests.plugins.operator import Operator, Served

pytestmark = pytest.mark.slow
CAPABILITIES = ["copy", "mkdir", "move", "properties", "quota", "search", "tree"]


@dataclass(frozen=True)
class Wheels:
    ours: Path
    example: Path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    folder = tmp_path_factory.mktemp("wheels")
    return Wheels(built(folder), built(folder, EXAMPLE))


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory, wheels: Wheels) -> Environment:
    folder = tmp_path_factory.mktemp("operators") / "venv"
    wanted = ("isthmus[gateway]", "isthmus-connector-sqlar")
    return fresh(folder, (wheels.ours, wheels.example), wanted)


@pytest.fixture(scope="module")
def authors(tmp_path_factory: pytest.TempPathFactory, wheels: Wheels) -> Environment:
    folder = tmp_path_factory.mktemp("authors") / "venv"
    return fresh(folder, (wheels.ours, wheels.example), ("isthmus-connector-sqlar[test]",))


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, operators: Environment) -> Operator:
    folder = tmp_path_factory.mktemp("served")
    return Operator([str(operators.folder / "bin" / "isthmus")], folder, {"LANG": "C.UTF-8"})


@pytest.fixture(scope="module")
def archive(operator: Operator) -> Path:
    return operator.folder / "files.sqlar"


@pytest.fixture(scope="module")
def served(operator: Operator, archive: Path) -> Iterator[Served]:
    with operator.serving("sqlar", path=str(archive), create="true") as served:
        yield served


# packaging


def test_our_wheel_has_no_example_and_the_examples_has_nothing_of_ours(wheels: Wheels) -> None:
    ours = {name.partition("/")[0] for name in zipfile.ZipFile(wheels.ours).namelist()}
    example = {name.partition("/")[0] for name in zipfile.ZipFile(wheels.example).namelist()}
    code = {name for name in ours if not name.endswith(".dist-info")}
    assert code == {"gateway", "connect_agent", "connectors", "store"}
    assert {name for name in example if not name.endswith(".dist-info")} == {"isthmus_sqlar"}
    assert "connectors/py.typed" in zipfile.ZipFile(wheels.ours).namelist()
    assert "isthmus_sqlar/py.typed" in zipfile.ZipFile(wheels.example).namelist()


def test_it_imports_the_interface_and_nothing_else_of_ours() -> None:
    for file in EXAMPLE.rglob("*.py"):
        allowed = {"interface"} if "src" in file.parts else {"interface", "conformance"}
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in named:
                package, _, rest = name.partition(".")
                assert package not in ("gateway", "store", "connect_agent"), file
                assert package != "connectors" or rest.partition(".")[0] in allowed, file


# the operator


def test_the_command_line_lists_it(operator: Operator) -> None:
    listed = {row["name"]: row for row in operator.isthmus("connector", "list")["connectors"]}
    row = listed["sqlar"]
    assert (row["installed"], row["friendly_name"], row["why"]) == (True, "SQLite archive", None)
    assert row["capabilities"] == CAPABILITIES
    assert list(row["settings"]["properties"]) == ["path", "create", "limit"]
    assert row["settings"]["required"] == ["path"]
    assert listed["local"]["installed"]
    assert (
        listed["sftp"]["why"] == "its library is not installed (asyncssh)"
    )  # an extra that is not installed


def test_a_wrong_setting_is_named(operator: Operator, served: Served) -> None:
    refused = operator.refused("account", "add", "sqlar", "--app", "any", "--set", "path=relative")
    assert "path: must be an absolute path" in refused


def test_an_account_is_added_and_tried(served: Served, archive: Path) -> None:
    assert served.account["checked"] == "ok"
    assert archive.exists()


def test_whoever_asks_is_told_of_it(served: Served) -> None:
    services = served.call("GET", "/public/services").json()["objects"]
    (found,) = [service for service in services if service["name"] == "sqlar"]
    assert found["friendly_name"] == "SQLite archive"
    assert found["settings"]["properties"]["path"]["description"]


def test_files_go_both_ways(served: Served) -> None:
    content = os.urandom(1024) * 20_000

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 300_000):
            yield content[start : start + 300_000]

    known = served.upload("Grüße.bin", content)
    unknown = served.upload("unknown length.bin", pieces())
    for made in (known, unknown):
        assert made["size"] == len(content)
        answer = served.storage("GET", f"files/{made['id']}/contents")
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()
    part = served.storage("GET", f"files/{known['id']}/contents", headers={"Range": "bytes=1000000-1000099"})
    assert (part.status_code, part.content) == (206, content[1_000_000:1_000_100])
    listed = served.storage("GET", "folders/root/contents").json()["objects"]
    assert {entry["name"] for entry in listed} == {"Grüße.bin", "unknown length.bin"}


def test_what_it_declares_is_what_the_api_does(served: Served) -> None:
    made = served.upload("to be moved", b"bytes")
    folder = served.storage("POST", "folders", json={"name": "folder", "parent_id": "root"}).json()
    moved = served.storage("PATCH", f"files/{made['id']}", json={"parent_id": folder["id"], "name": "moved"})
    assert moved.json()["name"] == "moved"
    assert served.storage("GET", f"files/{moved.json()['id']}/contents").content == b"bytes"
    found = served.storage("GET", "search", params={"q": "MOVED"}).json()["objects"]
    assert [entry["name"] for entry in found] == ["moved"]
    assert served.storage("DELETE", f"files/{moved.json()['id']}").status_code == 204
    assert served.storage("GET", f"files/{moved.json()['id']}").status_code == 404


# the author


def test_its_own_tests_pass_in_its_own_environment(authors: Environment, tmp_path: Path) -> None:
    copied_to(tmp_path, EXAMPLE)
    done = authors.run("python", "-m", "pytest", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "failed" not in done.stdout


def live(authors: Environment, folder: Path, *words: str) -> CompletedProcess[str]:
    kit = ("-p", "connectors.conformance.plugin", "--pyargs", "connectors.conformance.live")
    return authors.run("python", "-m", "pytest", *kit, *words, cwd=folder)


def test_the_kit_runs_on_a_store_of_ones_own(authors: Environment, tmp_path: Path) -> None:
    settings = ("--set", f"path={tmp_path / 'live.sqlar'}", "--set", "create=true")
    done = live(authors, tmp_path, "--connector", "sqlar", *settings)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert (
        f"connector sqlar (isthmus_sqlar.connector), capabilities: {', '.join(CAPABILITIES)}" in done.stdout
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--connector", "nothing"), "there is no connector 'nothing'; installed: "),
        (("--connector", "sqlar"), "the settings of sqlar (--set): path: Field required"),
        (("--connector", "sqlar", "--set", "path"), "--set wants KEY=VALUE, not 'path'"),
        (("--connector", "sftp"), "its library is not installed (asyncssh)"),
    ],
)
def test_wrong_options_are_said_once(
    authors: Environment, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = live(authors, tmp_path, *words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {said}" in done.stderr


def test_a_failing_assert_of_the_kit_shows_what_it_compared(authors: Environment, tmp_path: Path) -> None:
    (tmp_path / "test_wrong.py").write_text(
        "from connectors.conformance import Conformance, Direct, Store\n"
        "from isthmus_sqlar import SqlarConnector\n"
        "import pytest\n"
        "class Wrong(SqlarConnector):\n"
        "    capabilities = frozenset()\n"
        "class TestWrong(Conformance):\n"
        "    @pytest.fixture\n"
        "    def store(self, tmp_path):\n"
        "        return Store(Wrong, {'path': str(tmp_path / 'a.sqlar'), 'create': True}, Direct())\n"
    )
    done = authors.run("python", "-m", "pytest", "-k", "declares_exactly", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "assert frozenset() == frozenset({" in done.stdout
