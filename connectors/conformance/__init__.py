r"""What every connector has to hold, as tests against a live store.

Subclass `Conformance` in a test module of your own, or run them as they are:

    pytest -p connectors.conformance.plugin --pyargs connectors.conformance.live \
        --connector sftp --set host=files.example --set username=me --set password=@FILE
"""

from connectors.conformance.direct import Direct
from connectors.conformance.kit import Store
from connectors.conformance.suite import Conformance

__all__ = ["Conformance", "Direct", "Store"]
