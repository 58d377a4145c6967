"""`isthmus connectors` (also `connector`): the kinds of stores that accounts can be connected on."""

import typer

from connectors import registry
from connectors.interface import implemented, settings_schema
from gateway.cli.output import Json, show_rows

connectors = typer.Typer(help="Connectors: the kinds of stores.", no_args_is_help=True)


@connectors.command("list")
def list_connectors(as_json: Json = False) -> None:
    """Every connector: what it can do and takes; or why it can't be used here."""
    usable: list[dict[str, object]] = [
        {
            "name": name,
            "installed": True,
            "friendly_name": kind.friendly_name,
            "category": kind.category,
            "capabilities": sorted(implemented(kind)),
            "settings": settings_schema(kind) if as_json else ", ".join(kind.settings.model_fields),
            "why": None,
        }
        for name, kind in sorted(registry.installed().items())
    ]
    unusable: list[dict[str, object]] = [
        dict.fromkeys(_COLUMNS) | {"name": name, "installed": False, "capabilities": [], "why": why}
        for name, why in sorted(registry.missing().items())
    ]
    show_rows("connectors", usable + unusable, as_json)


_COLUMNS = ("name", "installed", "friendly_name", "category", "capabilities", "settings", "why")
