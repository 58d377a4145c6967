"""Folders that programs send and get back."""

import hashlib
import os
from pathlib import Path

_MIB = 1024 * 1024


def some_files(folder: Path, *, large: int) -> Path:
    """The folder, with small files of odd names in it and `large.bin` of this many bytes."""
    for name in ("a.txt", "with space & ümlaut.txt", "in/deeper/b+c.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "large.bin").write_bytes(os.urandom(_MIB) * (large // _MIB))
    return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder, by its path."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }
