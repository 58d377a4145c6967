"""The server of an account: one connection, made at the first verb and anew when it was lost; its shares."""

import asyncio
from typing import Any

from connectors.interface import Context, Unavailable
from connectors.smb import messages, srvsvc
from connectors.smb.messages import Access, Sharing
from connectors.smb.settings import SmbSettings
from connectors.smb.share import Handle, Share
from connectors.smb.wire import Wire


class Server:
    """Shares of one server, as one of its users sees them."""

    def __init__(self, settings: SmbSettings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._wire: Wire | None = None
        self._shares: dict[str, Share] = {}
        self._connecting = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """Ends the connection; running verbs fail with Unavailable, and later ones too."""
        self._closed = True
        if self._wire is not None:
            self._wire.close()

    async def share(self, name: str) -> Share:
        """The connected share. Raises NotFound, NotPermitted, and whatever a log-in raises."""
        async with self._connecting:
            wire = await self._connected()
            known = self._shares.get(name.casefold())
            if known is None:
                known = self._shares[name.casefold()] = Share(wire, await wire.connect_tree(name))
            return known

    async def log_in(self) -> None:
        """Connects, if that was not done yet. Raises BadCredential, Unavailable, Unsupported, TimedOut."""
        async with self._connecting:
            await self._connected()

    async def share_names(self) -> list[str]:
        """The shares that the server tells of: disks only, without hidden ones."""
        pipes = await self.share("IPC$")
        async with pipes.opened(srvsvc.PIPE, Access.READ | Access.WRITE, Sharing.ALL) as pipe:
            srvsvc.check_bound(await self._call(pipe, srvsvc.bind()))

            async def more() -> bytes:
                (told,) = await pipe.read(0, srvsvc.FRAGMENT)
                return bytes(messages.got(told.body))

            first = await self._call(pipe, srvsvc.share_enum())
            return srvsvc.names(await srvsvc.answer(first, more))

    async def _call(self, pipe: Handle, message: bytes) -> bytes:
        return bytes(await pipe.control(messages.PIPE_TRANSCEIVE, message, srvsvc.FRAGMENT))

    async def _connected(self) -> Wire:
        if self._closed:
            raise Unavailable("the account is closed")
        if self._wire is None or not self._wire.alive:
            self._shares.clear()
            self._wire = None
            settings, context = self._settings, self._context
            sock: Any = await context.dialer.open_socket(settings.host, settings.port)
            self._wire = await Wire.open(sock, settings, context.idle_timeout)
        return self._wire
