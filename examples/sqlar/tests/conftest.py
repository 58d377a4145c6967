"""An open account on a new archive, or on whatever a test made."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.conformance import Direct, Store
from isthmus_sqlar import SqlarConnector

type Opened = Callable[..., AbstractAsyncContextManager[Any]]  # Any: the capabilities beside the verbs


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where the archive is, or will be."""
    return tmp_path / "files.sqlar"


@pytest.fixture
def opened(archive: Path) -> Opened:
    """Opens an account on the archive, with these settings."""

    def opened(*, idle_timeout: float = 20.0, **settings: Any) -> AbstractAsyncContextManager[Any]:
        store = Store(SqlarConnector, {"path": str(archive), **settings}, Direct(), idle_timeout)
        return store.opened()

    return opened


@pytest_asyncio.fixture
async def account(opened: Opened) -> AsyncIterator[SqlarConnector]:
    """An account on a new archive."""
    async with opened(create=True) as account:
        yield account
