"""Requests in the store's own API, authorised by the connector and sent by somebody else."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast
from urllib.parse import quote

import pytest

from connectors.conformance.kit import FullConnector, Kit, Store, put
from connectors.http1 import Client, Connection, Response
from connectors.interface import (
    Authorised,
    Capability,
    NotPermitted,
    Origin,
    Payload,
    Request,
)
from connectors.interface.requests import Fields

type Native = tuple[str, str, Fields]

_LARGEST = 1024 * 1024


def _webdav(origin: Origin, folder: str) -> Native:
    return "PROPFIND", f"{origin.path}{quote(folder)}/", [("depth", "1")]


def _s3(origin: Origin, folder: str) -> Native:
    query = f"list-type=2&prefix={quote(folder, safe='')}%2F"
    return "GET", f"{origin.path}?{query}", ()


def _azure(origin: Origin, folder: str) -> Native:
    query = f"restype=container&comp=list&prefix={quote(folder, safe='')}%2F"
    return "GET", f"{origin.path.rstrip('/')}?{query}", ()


def _gcs(origin: Origin, folder: str) -> Native:
    return "GET", f"{origin.path}o?prefix={quote(folder, safe='')}%2F", ()


LISTINGS: dict[str, Callable[[Origin, str], Native]] = {
    "webdav": _webdav,
    "s3": _s3,
    "s3_compatible": _s3,
    "azure": _azure,
    "gcs": _gcs,
}
"""How a store lists a folder in its own API: method, target and headers, by the connector's name."""


@pytest.mark.asyncio
class RawTests(Kit):
    """What a connector holds that authorises others' requests."""

    async def placed(self, full: FullConnector, folder: str, name: str, content: bytes) -> str:
        """A new file's raw id. Where the connector itself can't write, the subclass puts it there."""
        return (await put(full, folder, name, content)).raw_id

    async def test_a_file_is_read_in_the_stores_own_api(
        self, store: Store, full: FullConnector, folder: str
    ) -> None:
        self.needs(full, Capability.RAW)
        content = secrets.token_bytes(10_000)
        raw_id = await self.placed(full, folder, "a file & more", content)
        request = Request("GET", full.origins()[0], _target(store, full, raw_id), payload=Payload.NONE)
        async with _sent(store, full, request) as answer:
            assert answer.status == 200
            assert await answer.read(_LARGEST) == content

    async def test_a_folder_is_listed_in_the_stores_own_api(
        self, store: Store, full: FullConnector, folder: str
    ) -> None:
        self.needs(full, Capability.RAW)
        if full.name not in LISTINGS:
            pytest.skip(f"the kit does not know how {full.name} lists a folder in its own API")
        await self.placed(full, folder, "listed.txt", b"bytes")
        origin = full.origins()[0]
        method, target, fields = LISTINGS[full.name](origin, _name(store, folder).rstrip("/"))
        request = Request(method, origin, target, fields, Payload.NONE)
        async with _sent(store, full, request) as answer:
            assert answer.status in (200, 207)
            assert b"listed.txt" in await answer.read(_LARGEST)

    async def test_what_a_caller_came_with_is_taken_off(
        self, store: Store, full: FullConnector, folder: str
    ) -> None:
        self.needs(full, Capability.RAW)
        raw_id = await self.placed(full, folder, "file", b"bytes")
        fields = [
            ("authorization", "Bearer of-the-caller"),
            ("proxy-authorization", "Basic of-the-caller"),
            ("host", "elsewhere.example"),
            ("x-trace", "kept"),
        ]
        origin = full.origins()[0]
        request = Request("GET", origin, _target(store, full, raw_id), fields, Payload.NONE)
        made = await full.authorise(request)
        assert not [value for _, value in made.fields if "of-the-caller" in value]
        assert [value for name, value in made.fields if name == "host"] == [origin.authority]
        assert ("x-trace", "kept") in made.fields
        async with _sent(store, full, request) as answer:
            assert answer.status == 200

    async def test_no_request_leads_out(self, store: Store, full: FullConnector, folder: str) -> None:
        self.needs(full, Capability.RAW)
        origin = full.origins()[0]
        good = Request("GET", origin, _target(store, full, folder), payload=Payload.NONE)
        elsewhere = [
            replace(good, origin=replace(origin, host="elsewhere.example")),
            replace(good, origin=replace(origin, port=1)),
            replace(good, origin=replace(origin, path="/elsewhere/")),
            replace(good, method="TRACE"),
        ]
        for out in ("..", "%2e%2e", ".%2E", "%252e%252e", "..%2f", "..%5c", "..;x", "a/../..", "%00"):
            elsewhere.append(replace(good, target=f"{origin.path}{out}/x"))
        if origin.path != "/":
            elsewhere += [
                replace(good, target=target)
                for target in ("/", "//", f"/{origin.path}", f"{origin.path.rstrip('/')}x/y", "/elsewhere/x")
            ]
        for request in elsewhere:
            with pytest.raises(NotPermitted):
                await full.authorise(request)

    async def test_no_secret_shows_in_what_is_given(
        self, store: Store, full: FullConnector, folder: str
    ) -> None:
        self.needs(full, Capability.RAW)
        settings = store.kind.settings.model_validate(store.settings)
        secret = [
            str(value.get_secret_value()) for _, value in settings if hasattr(value, "get_secret_value")
        ]
        request = Request("GET", full.origins()[0], _target(store, full, folder), payload=Payload.NONE)
        made = await full.authorise(request)
        shown = repr(made) + repr(full.origins())
        assert not [one for one in [*secret, *made.secrets] if one and one in shown]


def _name(store: Store, raw_id: str) -> str:
    """The entry as the store's own API names it, below the first origin."""
    prefix = store.settings.get("prefix", "")
    return f"{prefix}/{raw_id}" if prefix else raw_id


def _target(store: Store, connector: FullConnector, raw_id: str) -> str:
    path, name = connector.origins()[0].path, _name(store, raw_id)
    if connector.name == "gcs":  # an object's name is one segment there
        return f"{path}o/{quote(name, safe='')}?alt=media"
    return path + quote(name)


@asynccontextmanager
async def _sent(store: Store, connector: FullConnector, request: Request) -> AsyncIterator[Response]:
    """The store's own answer; asked again when it refuses the first, as whoever sends it would."""
    origin = request.origin
    context = ssl.create_default_context(cadata=origin.ca) if origin.scheme == "https" else None

    async def connect(factory: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        return await store.dialer.connect(
            factory, origin.host, origin.port, tls=context, server_hostname=origin.host
        )

    client = Client(connect, host=origin.authority)
    try:
        answer = await _asked(client, request.method, await connector.authorise(request))
        if answer.status == 401:
            refused = cast("str", answer.header(b"www-authenticate"))
            await answer.aclose()
            answer = await _asked(client, request.method, await connector.authorise(request, refused=refused))
        yield answer
        await answer.aclose()
    finally:
        await client.aclose()


async def _asked(client: Client, method: str, made: Authorised) -> Response:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in made.fields if name != "host"]
    return await client.request(method, made.target, headers)
