"""A connector's settings as a JSON Schema: what connect forms, command lines and imports are made from."""

from typing import Any

from connectors.interface.connector import Connector


def settings_schema(kind: type[Connector]) -> dict[str, Any]:
    """What an account of this connector takes, as JSON Schema 2020-12.

    `properties` are in the order of the fields, each with its `description`. One that holds a secret has
    `writeOnly: true` itself, also where it may be left out, and no default: it is asked for, never shown.

    Raises what pydantic raises for a field that JSON can't express.
    """
    schema = kind.settings.model_json_schema()
    for field in schema.get("properties", {}).values():
        if any(choice.get("writeOnly") for choice in (field, *field.get("anyOf", ()))):
            field["writeOnly"] = True
            if field.get("default") is not None:
                del field["default"]
    return schema
