"""What a store may know beside bytes and names: properties, permissions, room, trees, presigned URLs."""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from connectors.conformance.kit import (
    FullConnector,
    Kit,
    Store,
    joined,
    put,
    whole,
)
from connectors.http1 import Client, Connection
from connectors.interface import (
    Capability,
    Entry,
    InvalidName,
    Kind,
    NotFound,
    Permission,
    Presigned,
    Role,
    Unsupported,
    Who,
)


@pytest.mark.asyncio
class ExtraTests(Kit):
    """Capabilities beside bytes and names."""

    async def test_properties(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PROPERTIES)
        entry = await put(full, folder, "file", b"bytes")
        assert await full.properties(entry.raw_id) == {}
        await full.set_properties(entry.raw_id, {"colour": "blue", "size": "XL"})
        after = await full.set_properties(entry.raw_id, {"colour": "red & white", "size": None, "none": None})
        assert after == await full.properties(entry.raw_id) == {"colour": "red & white"}
        found = await full.stat(entry.raw_id)
        assert (found.size, found.etag) == (entry.size, entry.etag)
        assert await whole(full, entry.raw_id) == b"bytes"
        with pytest.raises(NotFound):
            await full.properties(joined(folder, "nothing"))
        with pytest.raises(NotFound):
            await full.set_properties(joined(folder, "nothing"), {"a": "b"})

    async def test_properties_take_any_text(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PROPERTIES)
        entry = await put(full, folder, "file")
        given = {'Grüße <&> "quoted"': "Wert: 世界 🦊", "Upper Case": " spaces ", "empty": ""}
        for key, value in given.items():
            try:
                after = await full.set_properties(entry.raw_id, {key: value})
            except InvalidName:
                continue  # said clearly; what is taken must come back as it went
            assert after[key] == value
            assert (await full.properties(entry.raw_id))[key] == value

    async def test_permissions(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PERMISSIONS)
        entry = await put(full, folder, "file")
        everyone = Permission(Who.ANYONE, Role.READER)
        before = await full.permissions(entry.raw_id)
        assert [p for p in before if p.role is Role.OWNER]
        shared = await full.set_permissions(entry.raw_id, [everyone], replace=False)
        assert everyone in shared
        assert shared == await full.permissions(entry.raw_id)
        kept = [p for p in before if p.who is not Who.ANYONE]
        assert [p for p in shared if p.who is not Who.ANYONE] == kept
        private = await full.set_permissions(entry.raw_id, kept, replace=True)
        assert private == kept
        with pytest.raises(NotFound):
            await full.permissions(joined(folder, "nothing"))

    async def test_quota(self, full: FullConnector) -> None:
        self.needs(full, Capability.QUOTA)
        try:
            quota = await full.quota()
        except Unsupported:
            pytest.skip("this store does not say")
        known = [n for n in (quota.total, quota.used, quota.free) if n is not None]
        assert known
        assert all(n >= 0 for n in known)

    async def test_a_tree_has_every_file_once(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.TREE)
        below = await full.mkdir(folder, "below")
        inner = await full.mkdir(below.raw_id, "inner")
        for parent in (folder, below.raw_id, inner.raw_id):
            for name in ("one", "two"):
                await put(full, parent, name)
        for limit in (1, 4, 1000):
            found: list[Entry] = []
            cursor = None
            while True:
                page = await full.tree(folder, cursor, limit)
                assert len(page.entries) <= limit
                found += page.entries
                if (cursor := page.next_cursor) is None:
                    break
            files = [(entry.parent, entry.name) for entry in found if entry.kind is Kind.FILE]
            wanted = [(p, n) for p in (folder, below.raw_id, inner.raw_id) for n in ("one", "two")]
            assert sorted(map(str, files)) == sorted(map(str, wanted))

    async def test_search(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.SEARCH)
        word = secrets.token_hex(8)
        await put(full, folder, f"Report {word}.txt")
        await put(full, folder, "other.txt")
        found = await full.search(word.upper(), None, 10)
        assert [entry.name for entry in found.entries] == [f"Report {word}.txt"]

    async def test_what_is_purged_is_gone(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.PURGE)
        entry = await put(full, folder, "file", b"one")
        await put(full, folder, "file", b"two", replace=True)
        await full.purge(entry.raw_id)
        with pytest.raises(NotFound):
            await full.stat(entry.raw_id)
        with pytest.raises(NotFound):
            await full.purge(entry.raw_id)

    async def test_a_presigned_upload(self, store: Store, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.UPLOAD_URL)
        name = "straight to the store & back.bin"
        signed = await full.upload_url(folder, name, expires=60)
        content = secrets.token_bytes(10_000)
        assert await _sent(store, signed, content) in (200, 201, 204)
        assert await whole(full, (await full.child(folder, name)).raw_id) == content

    async def test_a_presigned_download(self, store: Store, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.DOWNLOAD_URL)
        content = secrets.token_bytes(10_000)
        entry = await put(full, folder, "file & more", content)
        signed = await full.download_url(entry.raw_id, expires=60)
        assert signed.method == "GET"
        client, target = _client(store, signed)
        try:
            answer = await client.request("GET", target, _headers(signed))
            assert await answer.read(100_000) == content
        finally:
            await client.aclose()
        with pytest.raises(NotFound):
            await full.download_url(joined(folder, "nothing"), expires=60)

    async def test_headers_of_the_callers_own_do_no_harm(self, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.HEADERS)
        other = full.with_headers({"X-Trace": "abc"})
        entry = await put(other, folder, "file", b"bytes")
        assert await whole(other, entry.raw_id) == b"bytes"
        assert [e.name for e in (await other.list(folder, None, 10)).entries] == ["file"]
        assert await whole(full, entry.raw_id) == b"bytes"


async def _sent(store: Store, signed: Presigned, content: bytes) -> int:
    client, target = _client(store, signed)
    try:
        answer = await client.request(signed.method, target, _headers(signed), body=content)
        await answer.aclose()
        return answer.status
    finally:
        await client.aclose()


def _headers(signed: Presigned) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in signed.headers.items()]


def _client(store: Store, signed: Presigned) -> tuple[Client, str]:
    """A client of the store's own origin, as whoever was given the address would use, and the target."""
    url = urlsplit(signed.url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    context = None
    if url.scheme == "https":
        context = ssl.create_default_context(cadata=store.settings.get("ca"))

    async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        return await store.dialer.connect(factory, host, port, tls=context, server_hostname=host)

    authority = host if url.port is None else f"{host}:{url.port}"
    return Client(connect, host=authority), f"{url.path}?{url.query}"
