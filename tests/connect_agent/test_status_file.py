"""The file that a running agent leaves word in, written beside the streams of its tunnels."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connect_agent.identity import write_private
from connect_agent.status import save_status


def test_no_stream_waits_for_the_disk_to_keep_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    path = tmp_path / "agent.status"
    double: Any = SimpleNamespace(tunnels=[], settings=SimpleNamespace(status_path=path))
    save_status(double, running=True, note="")
    assert json.loads(path.read_text())["running"]
    assert not waited
    write_private(tmp_path / "key", b"key")
    assert len(waited) == 1
