"""Which connectors are installed: found by the entry-point group `isthmus.connectors`."""

from functools import cache
from importlib.metadata import entry_points

from connectors.interface import Connector, Unsupported

GROUP = "isthmus.connectors"


@cache
def _found() -> tuple[dict[str, type[Connector]], dict[str, str]]:
    usable: dict[str, type[Connector]] = {}
    unusable: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        try:
            usable[entry.name] = entry.load()
        except ImportError as error:
            unusable[entry.name] = f"its library is not installed ({error.name})"
    return usable, unusable


def installed() -> dict[str, type[Connector]]:
    """The connectors that can be used, by service identifier."""
    return dict(_found()[0])


def missing() -> dict[str, str]:
    """The connectors that are known and can't be used, each with why."""
    return dict(_found()[1])


def require(service: str) -> type[Connector]:
    """The service's connector. Raises Unsupported that says what there is."""
    usable, unusable = _found()
    if (found := usable.get(service)) is not None:
        return found
    if (why := unusable.get(service)) is not None:
        raise Unsupported(f"the {service} connector can't be used: {why}")
    raise Unsupported(f"there is no connector {service!r}; installed: {', '.join(sorted(usable))}")
