"""Access tokens: one for all, renewed in time, through the dialer."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.conformance import Store
from connectors.conformance.direct import Direct
from connectors.conformance.kit import FullConnector, put, whole
from connectors.gcs import GcsConnector
from connectors.interface import (
    BadAnswer,
    BadCredential,
    StoreError,
    Throttled,
    Unavailable,
)
from tests.connectors.gcs.doubles import MIB, account, then
from tests.servers.gcs_double import GcsDouble


async def test_one_token_serves_all(double: GcsDouble, gcs: FullConnector) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(gcs.stat(""))
    await put(gcs, "", "file")
    assert len(double.issued) == 1


async def test_a_token_that_is_over_is_renewed_once(double: GcsDouble, gcs: FullConnector) -> None:
    await put(gcs, "", "file", b"bytes")
    double.revoke()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(gcs.stat("file"))
    assert await whole(gcs, "file") == b"bytes"
    assert len(double.issued) == 2


async def test_a_token_is_renewed_before_its_end(double: GcsDouble, gcs: FullConnector) -> None:
    double.token_lives = 1
    await gcs.stat("")
    await gcs.stat("")
    assert len(double.issued) == 1
    tokens = cast("GcsConnector", gcs)._bucket._tokens
    assert tokens is not None
    assert tokens._good_until <= time.monotonic() + 0.5  # half a life, where a life is short
    double.token_lives = 3600
    tokens._good_until = 0
    await gcs.stat("")
    assert len(double.issued) == 2
    assert time.monotonic() + 3200 < tokens._good_until < time.monotonic() + 3301
    sent = {one["authorization"] for one in double.sent if "authorization" in one}
    assert sent == {f"Bearer {token}" for token in double.issued}


async def test_an_upload_outlives_its_token(double: GcsDouble, gcs: FullConnector) -> None:
    """The session's address needs none: a stream could not be sent again."""
    content = os.urandom(9 * MIB)
    half = len(content) // 2
    entry = await gcs.write(
        "", "file", then([content[:half], content[half:]], double.revoke), size=None, replace=False
    )
    assert await whole(gcs, entry.raw_id) == content


@pytest.mark.parametrize(
    ("status", "error"), [(400, BadCredential), (401, BadCredential), (429, Throttled), (503, Unavailable)]
)
async def test_a_token_server_that_refuses(
    double: GcsDouble, gcs: FullConnector, status: int, error: type[StoreError]
) -> None:
    double.fail("POST", "/token", status, "invalid_grant")
    with pytest.raises(error) as told:
        await gcs.stat("")
    assert "secret" not in str(told.value)
    await gcs.stat("")


async def test_a_key_of_somebody_else(double: GcsDouble) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with account(double, credentials=double.credentials(private_key=pem)).opened() as connector:
        for verb in (connector.stat(""), connector.list("", None, 5), put(connector, "", "file")):
            with pytest.raises(BadCredential, match="key"):
                await verb
    assert double.requests("GET") == []


async def test_no_key_where_one_is_needed(double: GcsDouble) -> None:
    async with account(double, credentials="").opened() as connector:
        with pytest.raises(BadCredential):
            await connector.stat("")


async def test_a_store_that_accepts_no_token(double: GcsDouble, gcs: FullConnector) -> None:
    double.fail("GET", "/storage/", 401, "authError", times=99)
    with pytest.raises(BadCredential):
        await gcs.stat("")
    assert len(double.issued) == 2
    assert len(double.requests("GET")) == 2


async def test_tokens_come_through_the_dialer(double: GcsDouble) -> None:
    class Resolving(Direct):
        def __init__(self) -> None:
            self.hosts: list[str] = []

        async def connect[P: asyncio.BaseProtocol](
            self,
            factory: Callable[[], P],
            host: str,
            port: int,
            *,
            tls: ssl.SSLContext | None = None,
            server_hostname: str | None = None,
        ) -> tuple[asyncio.Transport, P]:
            self.hosts.append(host)
            return await super().connect(factory, "127.0.0.1", port)

    dialer = Resolving()
    port = double.endpoint.rpartition(":")[2]
    double.endpoint = f"http://oauth2.example:{port}"
    settings = {
        "endpoint": f"http://storage.example:{port}",
        "bucket": "plain",
        "credentials": double.credentials(),
    }
    async with Store(GcsConnector, settings, dialer).opened() as connector:
        await connector.stat("")
    assert dialer.hosts == ["oauth2.example", "storage.example"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"{}", BadAnswer), (b"<html>", BadAnswer), (b'{"access_token": "a\\nb", "expires_in": 9}', BadAnswer)],
)
async def test_a_token_server_that_answers_oddly(
    double: GcsDouble, answer: bytes, error: type[StoreError]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        credentials = double.credentials(token_uri=f"http://127.0.0.1:{port}/token")
        async with account(double, credentials=credentials).opened() as connector:
            with pytest.raises(error):
                await connector.stat("")
