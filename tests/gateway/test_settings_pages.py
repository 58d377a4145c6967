"""Settings that an API user meets are described where the call is."""

from pathlib import Path

import pytest

from gateway.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "walk_": "search.md",
    "recent_": "search.md",
    "tasks_": "tasks.md",
    "copy_": "tasks.md",
    "events_": "events.md",
    "fetch_": "upload-from-url.md",
    "proxy_": "proxy/index.md",
    "api_": "operating.md",
}
BOUNDS = [name for name in Settings.model_fields if name.startswith(tuple(PAGES))]


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_described(name: str) -> None:
    page = next(page for prefix, page in PAGES.items() if name.startswith(prefix))
    assert f"`{name}`" in (DOCS / page).read_text()
