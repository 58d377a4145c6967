"""What a bucket of the contract double holds: generations, preconditions, listings. No network in here.

Each rule stands with the vendor's page that states it.
"""

import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

type Query = Mapping[str, str]


class Refusal(Exception):
    """A status and reason (https://cloud.google.com/storage/docs/json_api/v1/status-codes)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


@dataclass
class Generation:
    """One version of an object. Bytes and generation never change; metadata does."""

    name: str
    generation: int
    content: bytes
    content_type: str
    content_encoding: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    metageneration: int = 1

    def resource(self, bucket: str) -> dict[str, Any]:
        """https://cloud.google.com/storage/docs/json_api/v1/objects#resource; numbers are strings there."""
        told: dict[str, Any] = {
            "kind": "storage#object",
            "bucket": bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.content)),
            "contentType": self.content_type,
            "timeCreated": self.created,
            "updated": self.created,
            "selfLink": f"https://inner.example/storage/v1/b/{bucket}/o/x",
        }
        if self.metadata:  # absent, not empty, where there is none
            told["metadata"] = self.metadata
        if self.content_encoding:
            told["contentEncoding"] = self.content_encoding
        return told


class Bucket:
    """Objects by name, and what was replaced or deleted where versions are kept."""

    def __init__(self, name: str, *, versioned: bool) -> None:
        self.name = name
        self.versioned = versioned
        self.live: dict[str, Generation] = {}
        self.old: list[Generation] = []
        self.lock = threading.RLock()
        self.most_listed = 1000
        self.empty_pages = 0
        self._next = count(time.time_ns() // 1000)

    def check(self, name: str, query: Query, prefix: str = "if") -> None:
        """Preconditions: https://cloud.google.com/storage/docs/request-preconditions; 0 is "no object"."""
        there = self.live.get(name)
        wanted = query.get(f"{prefix}GenerationMatch")
        if wanted is not None and int(wanted) != (there.generation if there else 0):
            raise Refusal(412, "conditionNotMet")

    def find(self, name: str, query: Query, parameter: str = "generation") -> Generation:
        """The current generation, or the one that is asked for."""
        wanted = query.get(parameter)
        for one in [*self.live.values(), *self.old]:
            current = one is self.live.get(name)
            if one.name == name and (current if wanted is None else one.generation == int(wanted)):
                return one
        raise Refusal(404, "notFound")

    def put(self, name: str, content: bytes, content_type: str, query: Query, **more: Any) -> Generation:
        """A new generation, live from now on."""
        with self.lock:
            self.check(name, query)
            self._archive(name)
            made = Generation(name, next(self._next), content, content_type, **more)
            self.live[name] = made
            return made

    def delete(self, name: str, query: Query) -> None:
        """https://cloud.google.com/storage/docs/json_api/v1/objects/delete: for good with a generation."""
        with self.lock:
            found = self.find(name, query)
            self.check(name, query)
            if "generation" not in query:
                self._archive(name)
            elif found in self.old:
                self.old.remove(found)
            else:
                del self.live[name]

    def patch(self, name: str, changes: Mapping[str, str | None]) -> Generation:
        """https://cloud.google.com/storage/docs/json_api/v1/objects/patch: null removes a key."""
        with self.lock:
            found = self.find(name, {})
            kept = {**found.metadata, **changes}
            found.metadata = {key: value for key, value in kept.items() if value is not None}
            found.metageneration += 1
            return found

    def list(self, query: Query) -> dict[str, Any]:
        """https://cloud.google.com/storage/docs/json_api/v1/objects/list.

        `maxResults` counts objects and prefixes together, a page may have fewer, and the token says where it
        goes on.
        """
        with self.lock:
            every = list(self.live.values())
            if query.get("versions") == "true":
                every += self.old
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start = query.get("startOffset", "")
        if "pageToken" in query:
            start = max(start, b64decode(query["pageToken"]).decode())
        found: dict[tuple[str, int], Generation | None] = {}
        for each in every:
            if not each.name.startswith(prefix):
                continue
            above, cut, _ = each.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            place = (prefix + above + cut, 0) if cut else (each.name, each.generation)
            if place[0] >= start:
                found[place] = None if cut else each
        places = sorted(found)
        most = min(int(query.get("maxResults", 1000)), self.most_listed)
        if self.empty_pages:
            self.empty_pages, most = self.empty_pages - 1, 0
        page, rest = places[:most], places[most:]
        told: dict[str, Any] = {"kind": "storage#objects"}
        items = [one.resource(self.name) for place in page if (one := found[place]) is not None]
        prefixes = [place[0] for place in page if found[place] is None]
        if items:
            told["items"] = items
        if prefixes:
            told["prefixes"] = prefixes
        if rest:
            told["nextPageToken"] = b64encode(rest[0][0].encode()).decode()
        return told

    def _archive(self, name: str) -> None:
        former = self.live.pop(name, None)
        if former is not None and self.versioned:
            self.old.append(former)
