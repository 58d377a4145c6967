"""Distributions of one module, as wheels that pip installs into a folder."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

GOOD = """
from connectors.interface import Connector, Settings, Unsupported

class TinySettings(Settings):
    pass

async def no(*given, **named):
    raise Unsupported("a tiny one")

class Tiny(Connector):
    name = "NAME"
    friendly_name = "Tiny"
    settings = TinySettings
    open = classmethod(no)
    aclose = stat = list = read = write = delete = no
"""


@dataclass(frozen=True, slots=True)
class Tiny:
    """A distribution: its module's text, and the value of its entry point."""

    distribution: str
    service: str
    code: str
    value: str = "MODULE:Tiny"


def install(tiny: list[Tiny], folder: Path) -> None:
    """Installs them into the folder, which then belongs on the path."""
    (folder / "wheels").mkdir()
    wheels = [_wheel(each, folder / "wheels") for each in tiny]
    words = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    target = ("--target", str(folder / "site"))
    subprocess.run([sys.executable, "-m", "pip", *words, *target, *wheels], check=True)


def _wheel(tiny: Tiny, folder: Path) -> Path:
    module = tiny.distribution.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    entry = f"{tiny.service} = {tiny.value.replace('MODULE', module)}"
    files = {
        f"{module}.py": tiny.code.replace("NAME", tiny.service),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {tiny.distribution}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[isthmus.connectors]\n{entry}\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", record)
    return path
