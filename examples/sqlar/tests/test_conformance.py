"""The kit against archives: a new one, and one that another tool made."""

from pathlib import Path

import pytest

from connectors.conformance import Conformance, Direct, Store
from isthmus_sqlar import SqlarConnector


class TestSqlar(Conformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        settings = {"path": str(tmp_path / "files.sqlar"), "create": True}
        return Store(SqlarConnector, settings, Direct())
