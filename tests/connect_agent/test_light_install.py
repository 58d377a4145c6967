"""The agent alone: what a private network's machine installs, without the gateway's parts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.installs import ROOT, built

GATEWAYS_OWN = ["sqlalchemy", "starlette", "uvicorn", "pydantic_settings", "asyncssh", "h11", "mitmproxy"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, its locked dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("light")
    wheel = built(folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    made = folder / "venv" / "bin" / "python"
    install = (made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*install, "--require-hashes", "-r", ROOT / "requirements" / "agent.txt"], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)
    return made


@pytest.mark.slow
def test_the_agent_runs_without_the_gateways_libraries(python: Path) -> None:
    shown = subprocess.run(
        [python.parent / "isthmus-agent", "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("join", "run", "allow", "status", "doctor", "explain"):
        assert verb in shown.stdout
    asked = "import importlib.util, sys; print(*[n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    found = subprocess.run(
        [python, "-c", asked, *GATEWAYS_OWN], capture_output=True, text=True, check=True, cwd="/"
    )
    assert found.stdout.split() == []


@pytest.mark.slow
def test_the_gateway_says_what_it_lacks(python: Path) -> None:
    done = subprocess.run(
        [python.parent / "isthmus", "--help"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode != 0
    assert "isthmus[gateway]" in done.stderr
    assert "Traceback" not in done.stderr
