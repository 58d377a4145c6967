"""Which connectors are installed: found by the entry-point group `isthmus.connectors`.

A distribution adds one without touching this tree. One that is broken is said with why, and harms no other.
"""

import inspect
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from connectors.interface import Connector, Settings, Unsupported, implemented, settings_schema

GROUP = "isthmus.connectors"
_OURS = "isthmus"
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,63}")


def installed() -> dict[str, type[Connector]]:
    """The connectors that can be used, by service identifier."""
    return dict(_found()[0])


def missing() -> dict[str, str]:
    """The connectors that are known and can't be used, each with why, for who runs the gateway.

    The keys are service identifiers; where another connector has the identifier, the distribution is added.
    """
    return dict(_found()[1])


def require(service: str) -> type[Connector]:
    """The service's connector. Raises Unsupported that says what there is.

    It does not say why a connector can't be used: the error of an import may have paths of this machine.
    """
    usable, unusable = _found()
    if (found := usable.get(service)) is not None:
        return found
    if service in unusable:
        raise Unsupported(f"the {service} connector can't be used here: 'isthmus connectors list' says why")
    raise Unsupported(f"there is no connector {service!r}; installed: {', '.join(sorted(usable))}")


@cache
def _found() -> tuple[dict[str, type[Connector]], dict[str, str]]:
    return _sorted_out(entry_points(group=GROUP))


def _sorted_out(entries: Iterable[EntryPoint]) -> tuple[dict[str, type[Connector]], dict[str, str]]:
    """The usable and the unusable. Ours come first: nobody else gets a name of ours, usable or not."""
    owners: dict[str, str] = {}
    usable: dict[str, type[Connector]] = {}
    unusable: dict[str, str] = {}
    for entry in sorted(entries, key=lambda entry: (_distribution(entry) != _OURS, _distribution(entry))):
        owner = _distribution(entry)
        if entry.name in owners:
            unusable[f"{entry.name} ({owner})"] = f"the name is taken by {owners[entry.name]}"
            continue
        owners[entry.name] = owner
        loaded = _loaded(entry)
        if isinstance(loaded, str):
            unusable[entry.name] = loaded if owner == _OURS else f"{owner}: {loaded}"
        else:
            usable[entry.name] = loaded
    return usable, unusable


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _loaded(entry: EntryPoint) -> type[Connector] | str:
    """The connector, or why it can't be used."""
    try:
        kind = entry.load()
        return _flaw(entry.name, kind) or kind
    except ModuleNotFoundError as error:
        return f"its library is not installed ({error.name})"
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stranger's module does when it is imported
        said = str(error).partition("\n")[0]
        return f"loading it failed: {type(error).__name__}{': ' if said else ''}{said}"


def _flaw(name: str, kind: object) -> str | None:
    """What is wrong with the class that an entry point led to; None if nothing is."""
    if not (inspect.isclass(kind) and issubclass(kind, Connector)):
        return "its entry point leads to no subclass of connectors.interface.Connector"
    if verbs := sorted(kind.__abstractmethods__):
        return f"{kind.__name__} lacks {', '.join(verbs)}"
    if lacking := [fact for fact in ("name", "friendly_name", "settings") if not hasattr(kind, fact)]:
        return f"{kind.__name__} does not say its {', '.join(lacking)}"
    if not _IDENTIFIER.fullmatch(name):
        return "its name is no identifier: a letter, then at most 63 of a to z, 0 to 9 and _"
    if kind.name != name:
        return f"{kind.__name__} calls itself {kind.name!r}, its entry point {name!r}"
    if not (inspect.isclass(kind.settings) and issubclass(kind.settings, Settings)):
        return "its settings are no subclass of connectors.interface.Settings"
    settings_schema(kind)
    return _drift(kind)


def _drift(kind: type[Connector]) -> str | None:
    """How the capabilities that are declared differ from those that are written."""
    written = implemented(kind)
    if unwritten := sorted(kind.capabilities - written):
        return f"{kind.__name__} declares what it does not implement: {', '.join(unwritten)}"
    if undeclared := sorted(written - kind.capabilities):
        return f"{kind.__name__} implements what it does not declare: {', '.join(undeclared)}"
    return None
