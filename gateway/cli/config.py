"""`isthmus config`: every setting, and where its value came from."""

import tomllib

import typer

from gateway import settings as gateway_settings
from gateway.cli.output import Data, Json, show_rows
from gateway.settings import Settings

config = typer.Typer(help="Settings.", no_args_is_help=True)


@config.command("show")
def show_config(data: Data = None, as_json: Json = False) -> None:
    """Every setting with its value and its source; a password in a URL is left out."""
    settings = gateway_settings.load(data)
    file = settings.data / "isthmus.toml"
    in_file = tomllib.loads(file.read_text()) if file.exists() else {}
    rows: list[dict[str, object]] = [
        {"name": name, "value": _shown(settings, name), "from": _source(name, in_file)}
        for name in Settings.model_fields
    ]
    show_rows("settings", rows, as_json)


def _shown(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    if name == "database" and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _source(name: str, in_file: dict[str, object]) -> str:
    if gateway_settings.in_environment(name):
        return "environment"
    return "isthmus.toml" if name in in_file else "default"
