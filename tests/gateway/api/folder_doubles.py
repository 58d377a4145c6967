"""Doubles of connectors that can more than the local one. Each keeps its files in a folder."""

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from connectors.interface import (
    AlreadyExists,
    Capability,
    Connector,
    Content,
    Context,
    Entry,
    NotFound,
    NotPermitted,
    Page,
    Part,
    Permission,
    Presigned,
    Quota,
    Role,
    Settings,
    Span,
    StoreError,
    Unavailable,
    Unsupported,
    Upload,
    Who,
)
from connectors.local import LocalConnector
from connectors.local.settings import LocalSettings

PART_SIZE = 100_000


class PlainDouble(Connector):
    """A folder with nothing but the verbs, folders, moves and copies."""

    name: ClassVar[str] = "plain_double"
    friendly_name: ClassVar[str] = "A double"
    settings: ClassVar[type[Settings]] = LocalSettings
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.MKDIR, Capability.MOVE, Capability.COPY}
    )
    away: ClassVar[bool] = False  # set by a test: the store can't be reached

    def __init__(self, root: Path, files: LocalConnector) -> None:
        self.root, self._files = root, files

    @classmethod
    async def open(cls, settings: Settings, context: Context) -> Self:
        if cls.away:
            raise Unavailable("the store at 10.1.2.3 can't be reached")
        assert isinstance(settings, LocalSettings)
        return cls(Path(settings.root), await LocalConnector.open(settings, context))

    async def aclose(self) -> None:
        await self._files.aclose()

    async def stat(self, raw_id: str) -> Entry:
        self._check()
        return await self._files.stat(raw_id)

    async def list(self, folder: str, cursor: str | None, limit: int) -> Page:
        self._check()
        return await self._files.list(folder, cursor, limit)

    async def read(self, raw_id: str, span: Span | None = None, *, etag: str | None = None) -> Content:
        self._check()
        return await self._files.read(raw_id, span, etag=etag)

    async def write(
        self,
        parent: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        replace: bool,
        etag: str | None = None,
    ) -> Entry:
        return await self._files.write(parent, name, chunks, size=size, replace=replace, etag=etag)

    async def delete(self, raw_id: str, *, recursive: bool = False) -> None:
        await self._files.delete(raw_id, recursive=recursive)

    async def mkdir(self, parent: str, name: str) -> Entry:
        return await self._files.mkdir(parent, name)

    async def move(self, raw_id: str, parent: str, name: str, *, replace: bool = False) -> Entry:
        return await self._files.move(raw_id, parent, name, replace=replace)

    async def copy(self, raw_id: str, parent: str, name: str) -> Entry:
        source, target = self.root / raw_id, self.root / parent / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        return await self.stat(f"{parent}/{name}" if parent else name)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the store at 10.1.2.3 can't be reached")


class PartsDouble(PlainDouble):
    """Takes parts: each a file in a hidden folder, named by its number."""

    name: ClassVar[str] = "parts_double"
    capabilities: ClassVar[frozenset[Capability]] = PlainDouble.capabilities | {Capability.PARTS}
    parallel: ClassVar[bool] = True
    most_at_once: ClassVar[int] = 0
    fails: ClassVar[StoreError | None] = None  # set by a test: what completing raises once
    _at_once: ClassVar[int] = 0

    @property
    def begun(self) -> "list[Path]":
        return sorted(self.root.glob(".isthmus-parts-*"))

    async def begin_upload(self, parent: str, name: str, *, size: int | None, replace: bool) -> Upload:
        await self.stat(parent)
        self._free(parent, name, replace)
        folder = self.root / f".isthmus-parts-{secrets.token_hex(8)}"
        folder.mkdir()
        state = json.dumps({"in": folder.name, "parent": parent, "name": name, "replace": replace})
        return Upload(state, PART_SIZE, self.parallel)

    async def write_part(self, state: str, number: int, chunks: AsyncIterator[bytes], *, size: int) -> str:
        cls = PartsDouble
        folder = self._folder(state)
        cls._at_once += 1
        cls.most_at_once = max(cls.most_at_once, cls._at_once)
        try:
            received = b"".join([chunk async for chunk in chunks])
        finally:
            cls._at_once -= 1
        assert len(received) == size
        (folder / str(number)).write_bytes(received)
        return f"tag {number} {len(received)}"

    async def complete_upload(self, state: str, parts: Sequence[Part]) -> Entry:
        folder, told = self._folder(state), json.loads(state)
        if (error := PartsDouble.fails) is not None:
            PartsDouble.fails = None
            raise error
        self._free(told["parent"], told["name"], told["replace"])
        assert [part.tag for part in parts] == [f"tag {part.number} {part.size}" for part in parts]
        content = b"".join((folder / str(part.number)).read_bytes() for part in parts)
        (self.root / told["parent"] / told["name"]).write_bytes(content)
        shutil.rmtree(folder)
        return await self.stat(f"{told['parent']}/{told['name']}".lstrip("/"))

    async def abandon_upload(self, state: str) -> None:
        self._check()
        await asyncio.sleep(0)
        shutil.rmtree(self.root / json.loads(state)["in"], ignore_errors=True)

    def _folder(self, state: str) -> Path:
        self._check()
        folder: Path = self.root / json.loads(state)["in"]
        if not folder.exists():
            raise NotFound("the upload is over")
        return folder

    def _free(self, parent: str, name: str, replace: bool) -> None:
        if (self.root / parent / name).exists() and not replace:
            raise AlreadyExists("the name is taken")


class SerialDouble(PartsDouble):
    """Takes one part at a time."""

    name: ClassVar[str] = "serial_double"
    parallel: ClassVar[bool] = False


class RichDouble(PlainDouble):
    """Keeps properties and permissions, purges, signs URLs, tells its room."""

    name: ClassVar[str] = "rich_double"
    capabilities: ClassVar[frozenset[Capability]] = PlainDouble.capabilities | {
        Capability.PROPERTIES,
        Capability.PERMISSIONS,
        Capability.PURGE,
        Capability.UPLOAD_URL,
        Capability.DOWNLOAD_URL,
        Capability.QUOTA,
    }
    lacks_properties: ClassVar[bool] = False  # set by a test: this server has none
    purged: ClassVar["list[str]"] = []
    _kept: ClassVar[dict[tuple[Path, str], dict[str, str]]] = {}
    _shared: ClassVar[dict[tuple[Path, str], "list[Permission]"]] = {}

    async def properties(self, raw_id: str) -> dict[str, str]:
        if self.lacks_properties:
            raise Unsupported("this server keeps no properties")
        await self.stat(raw_id)
        return self._kept.setdefault((self.root, raw_id), {})

    async def set_properties(self, raw_id: str, changes: Mapping[str, str | None]) -> dict[str, str]:
        kept = await self.properties(raw_id)
        for key, value in changes.items():
            kept.pop(key, None)
            if value is not None:
                kept[key] = value
        return kept

    async def permissions(self, raw_id: str) -> "list[Permission]":
        await self.stat(raw_id)
        owner = Permission(Who.USER, Role.OWNER, "1", "ann@example.com")
        return self._shared.setdefault((self.root, raw_id), [owner])

    async def set_permissions(
        self, raw_id: str, grants: Sequence[Permission], *, replace: bool
    ) -> "list[Permission]":
        if any(grant.who is Who.GROUP for grant in grants):
            raise Unsupported("this store has no groups")
        there = await self.permissions(raw_id)
        if replace:
            there.clear()
        there.extend(grants)
        return there

    async def purge(self, raw_id: str, *, recursive: bool = False) -> None:
        await self.delete(raw_id, recursive=recursive)
        self.purged.append(raw_id)

    async def upload_url(self, parent: str, name: str, *, expires: int) -> Presigned:
        if name == "refused":
            raise NotPermitted("the store says no")
        url = f"https://store.example/{parent}/{name}?expires={expires}"
        return Presigned(url, "PUT", {"x-type": "blob"})

    async def download_url(self, raw_id: str, *, expires: int) -> Presigned:
        raise AssertionError("a link's bytes are streamed by the gateway itself")

    async def quota(self) -> Quota:
        self._check()
        return Quota(1000, 400, 600)


DOUBLES: "dict[str, type[Connector]]" = {
    double.name: double for double in (PlainDouble, PartsDouble, SerialDouble, RichDouble)
}
