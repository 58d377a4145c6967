"""What names of blobs may be (Microsoft's page "Naming and referencing containers, blobs, and metadata")."""

from connectors.interface import InvalidName
from connectors.interface.paths import TEMPORARY
from connectors.objects import Naming

LONGEST = 1024
"""Characters."""
NAMING = Naming(hidden=TEMPORARY)


def check_name(name: str) -> None:
    r"""Raises InvalidName for a name that Azure can't hold, or would keep as another.

    It makes `/` of `\`, drops a dot at the end, and does not take control characters.
    """
    NAMING.check_name(name)
    if "\\" in name or name.endswith(".") or any(sign < " " or sign == "\x7f" for sign in name):
        raise InvalidName("the store can't hold \\ or control characters in a name, nor a dot at its end")
