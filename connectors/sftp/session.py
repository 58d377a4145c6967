"""One account's SSH connection and SFTP session: made at the first need, and anew after it was lost."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, cast

import asyncssh

from connectors.interface import Context, StoreError, Unavailable, UntrustedHost
from connectors.interface.leavers import Leavers
from connectors.sftp.errors import sftp_errors
from connectors.sftp.settings import SftpSettings
from connectors.sftp.way import Way, without_ignores

type Keys = list[asyncssh.SSHKey]

# 1.7 times as fast as asyncssh's own first choice (CONNECTORS.md 5); none is CBC, see `without_ignores`
_CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"]


class Session:
    """What the connector's verbs run on. Safe to use from several asyncio tasks at once."""

    def __init__(self, settings: SftpSettings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._host_key = settings.host_key
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._connecting = asyncio.Lock()
        self._leavers = Leavers()

    async def client(self) -> asyncssh.SFTPClient:
        """The open SFTP session. Raises BadCredential, UntrustedHost, Unavailable, TimedOut."""
        async with self._connecting:
            lost = self._connection is None or self._connection.is_closed()
            if self._sftp is None or lost:
                await self._connect()
            assert self._sftp is not None  # noqa: S101  just connected
            return self._sftp

    async def wait[T](self, act: Awaitable[T]) -> T:
        """What one request answers, its errors as a connector's, within the idle deadline."""
        with sftp_errors():
            async with asyncio.timeout(self._context.idle_timeout):
                return await act

    async def open(
        self, sftp: asyncssh.SFTPClient, path: str, mode: str, attrs: asyncssh.SFTPAttrs | None = None
    ) -> asyncssh.SFTPClientFile:
        """An open file, as `wait`.

        When its caller is gone before the server's answer, the file is closed as soon as that is there, and
        removed if this made it ("xb").
        """

        async def undo(file: asyncssh.SFTPClientFile) -> None:
            with sftp_errors():
                await file.close()
                if "x" in mode:
                    await sftp.remove(path)

        opening = sftp.open(path, mode, attrs or asyncssh.SFTPAttrs(), block_size=0)
        return await self.wait(self._leavers.made(_as_ours(opening), undo))

    async def quietly(self, act: Awaitable[object]) -> None:
        """Clean-up whose failure changes nothing; it runs on although its caller is cancelled."""
        with suppress(StoreError):
            await asyncio.shield(asyncio.ensure_future(self._wait_any(act)))

    def close(self) -> None:
        """Drops the connection: what runs on it fails with Unavailable."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = self._sftp = None

    async def _connect(self) -> None:
        s = self._settings
        with sftp_errors():
            async with asyncio.timeout(self._context.idle_timeout):
                connection = await asyncssh.connect(
                    s.host,
                    s.port,
                    tunnel=cast("Any", Way(self._context.dialer)),  # only its one verb is called
                    username=s.username,
                    password=s.password.get_secret_value() if s.password else None,
                    client_keys=self._keys(),
                    known_hosts=self._trusted(),
                    config=None,
                    agent_path=None,
                    encryption_algs=_CIPHERS,
                    keepalive_interval=30,
                )
            try:
                without_ignores(connection)
                sftp = await self.wait(connection.start_sftp_client())
                await self._remember_host_key(connection)
            except BaseException:
                connection.abort()
                raise
        self._connection, self._sftp = connection, sftp

    def _keys(self) -> Keys | None:
        s = self._settings
        if s.private_key is None:
            return None
        passphrase = s.passphrase.get_secret_value() if s.passphrase else None
        try:
            return [asyncssh.import_private_key(s.private_key.get_secret_value(), passphrase)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise UnusableKey from error

    def _trusted(self) -> tuple[Keys, Keys, Keys] | None:
        if self._host_key is None:
            return None
        try:
            return [asyncssh.import_public_key(self._host_key)], [], []
        except asyncssh.KeyImportError as error:
            raise UntrustedHost("host_key is no SSH public key: give 'ssh-ed25519 AAAA...'") from error

    async def _remember_host_key(self, connection: asyncssh.SSHClientConnection) -> None:
        """Trust on first use: from now on only this key is the store."""
        key = connection.get_server_host_key()
        if self._host_key is None and key is not None:
            self._host_key = key.export_public_key().decode().strip()
            await self._context.remember({"host_key": self._host_key})

    async def _wait_any(self, act: Awaitable[object]) -> object:
        return await self.wait(act)


async def _as_ours[T](act: Awaitable[T]) -> T:
    with sftp_errors():
        return await act


class UnusableKey(Unavailable):
    """The account's private key can't be read, or its passphrase is wrong."""

    def __init__(self) -> None:
        super().__init__("the account's private_key can't be read: check its format and the passphrase")
