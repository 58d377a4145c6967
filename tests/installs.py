"""Wheels built from this tree without a trace in it, and fresh environments that have them installed.

What a wheel asks for is linked from the environment that the tests run in: no registry is asked, and nothing
is there but what the wheels' own metadata name, so that an extra which lacks something is noticed.
"""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "sqlar"
_NOT_BUILT = ("tests/", "docs/", "bench/", "examples/")


def built(folder: Path, source: Path = ROOT) -> Path:
    """The wheel of what git tracks, or would, under `source`, built in `folder`."""
    name = "ours" if source == ROOT else source.name
    copied_to(folder / name, source, without=_NOT_BUILT if source == ROOT else ())
    build = (
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder / "wheels"),
    )
    subprocess.run([sys.executable, *build, str(folder / name)], check=True, cwd=folder)
    return max((folder / "wheels").glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime_ns)


def copied_to(folder: Path, source: Path, *, without: tuple[str, ...] = ()) -> None:
    """A copy of the sources: building and testing leave files where they are done."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=source, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        if name and not name.startswith(without or ("\0",)) and (source / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((source / name).read_bytes())


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in `folder`."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *words: str | Path, cwd: Path, within: float = 110.0) -> CompletedProcess[str]:
        """A command of this environment; its first word is a script of it, or `python`."""
        command = [self.folder / "bin" / words[0], *words[1:]]
        return subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
            env={"LANG": "C.UTF-8"},
        )


def fresh(folder: Path, wheels: Iterable[Path], wanted: Iterable[str]) -> Environment:
    """An environment with the wheels and what `wanted` asks for, in pip's words: `isthmus[gateway]`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    made = Environment(folder)
    install = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "--python", made.python, *install, *wheels], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    here = {canonicalize_name(found.name): found for found in distributions(path=[str(site)])}
    for name in _asked_for(wanted, here) - here.keys():
        _link(distribution(name), site)
    return made


def _asked_for(wanted: Iterable[str], here: dict[Any, Distribution]) -> set[Any]:
    """Every distribution that the requirements lead to, by its normal name."""
    left = [Requirement(text) for text in wanted]
    seen: set[tuple[str, str]] = set()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for seen_name, extra in seen if seen_name == name}:
            seen.add((name, extra))
            lines = (here[name] if name in here else _borrowed(name)).requires or ()
            asked = [Requirement(line) for line in lines]
            left += [each for each in asked if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def _borrowed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise AssertionError(f"{name} is asked for and is not installed here: run make setup") from None


def _link(found: Distribution, site: Path) -> None:
    for file in found.files or ():
        if ".." not in file.parts and not (target := site / file).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(str(found.locate_file(file)))
