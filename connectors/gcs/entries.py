"""Objects as the store describes them, and the entries that they are.

https://cloud.google.com/storage/docs/json_api/v1/objects#resource
"""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from connectors.interface import BadAnswer, Entry, Kind
from connectors.objects import name_of, parent_of

_UNTOLD_TYPES = frozenset({"application/octet-stream", "binary/octet-stream"})  # what is said unasked
_NOT_SHOWN = frozenset({"acl", "mediaLink", "selfLink"})  # links name the host as its network knows it


@dataclass(frozen=True, slots=True)
class Object:
    """One generation of an object: every write of bytes makes a new one, a change of metadata does not."""

    name: str
    generation: str
    told: Mapping[str, Any]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The object of a resource as JSON has it. Raises BadAnswer."""
        name, generation = told.get("name"), told.get("generation")
        if not isinstance(name, str) or not isinstance(generation, str) or not generation.isdigit():
            raise BadAnswer("the store described an object without name or generation")
        return cls(name, generation, told)

    @property
    def metadata(self) -> dict[str, str]:
        """The keys and values that its writers gave it."""
        return {str(key): str(value) for key, value in (self.told.get("metadata") or {}).items()}


def file(raw_id: str, found: Object) -> Entry:
    """The file that an object is."""
    told, name = found.told, name_of(raw_id)
    size, type_ = str(told.get("size", "")), told.get("contentType")
    return Entry(
        raw_id=raw_id,
        name=name,
        kind=Kind.FILE,
        parent=parent_of(raw_id),
        size=int(size) if size.isascii() and size.isdigit() else None,
        modified=_date(told.get("updated")),
        created=_date(told.get("timeCreated")),
        etag=found.generation,
        mime_type=type_ if type_ and type_ not in _UNTOLD_TYPES else mimetypes.guess_type(name)[0],
        owner=(told.get("owner") or {}).get("entity"),
        raw={key: value for key, value in told.items() if key not in _NOT_SHOWN},
    )


def folder(raw_id: str) -> Entry:
    """A folder: nothing is known of it but that there is one."""
    return Entry(raw_id, name_of(raw_id), Kind.FOLDER, parent_of(raw_id))


def _date(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
