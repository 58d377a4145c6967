"""Which files of a folder processes have open, as the kernel tells (proc(5))."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path


def open_files(folder: Path, pids: Iterable[int]) -> list[str]:
    """Paths of the folder and below it that these processes have open, removed files included."""
    return [path for pid in pids for path in _opened_by(pid) if f"{path}/".startswith(f"{folder}/")]


def descendants(pid: int) -> list[int]:
    """The process and all that it started, and they."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [pid]
    for above in found:
        found += [child for child, parent in pairs if parent == above]
    return found


def _opened_by(pid: int) -> list[str]:
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended while we looked
    found = []
    for handle in handles:
        try:
            found.append(os.readlink(handle))
        except (FileNotFoundError, ProcessLookupError):
            continue  # closed while we looked
    return found
