r"""What every connector has to hold, as tests against a live store.

Subclass `Conformance` in a test module of your own, or run them as they are:

    pytest -p connectors.conformance.plugin --pyargs connectors.conformance.live \
        --connector sftp --set host=files.example --set username=me --set password=@FILE
"""

import pytest

# A failing assert of the kit shows what it compared, in other distributions' runs as well.
for _room in ("content", "entries", "extras", "parts", "places"):
    pytest.register_assert_rewrite(f"{__name__}.{_room}")

from connectors.conformance.direct import Direct  # noqa: E402  after the line above, or it has no effect
from connectors.conformance.kit import Store  # noqa: E402
from connectors.conformance.suite import Conformance  # noqa: E402

__all__ = ["Conformance", "Direct", "Store"]
