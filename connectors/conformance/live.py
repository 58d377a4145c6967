"""Collected by the command in the package's docstring: the tests against the store of the options."""

import pytest

from connectors.conformance.kit import Store
from connectors.conformance.suite import Conformance


class TestLive(Conformance):
    """The store that `--connector` and `--set` name."""

    @pytest.fixture
    def store(self, live_store: Store) -> Store:
        """From the plugin."""
        return live_store
