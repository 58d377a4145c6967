"""One control connection: greeted, encrypted, logged in; commands one after the other.

aioftp writes commands and has the streams. What it is not used for: replies are read here, since its reader
stops at bytes that are not UTF-8 and at RFC 959's own examples of replies of many lines; and data connections
are opened here, since it waits for TLS on them before the command that makes the server begin with it
(vsftpd and ProFTPD then wait for each other's first byte forever).
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import aioftp
from aioftp.common import Code, SSLSessionBoundContext

from connectors.ftp.data import DataConnection
from connectors.ftp.errors import Reply, ftp_errors, refusal
from connectors.ftp.settings import FtpSettings, Tls
from connectors.interface import (
    BadAnswer,
    BadCredential,
    Context,
    InvalidName,
    StoreError,
    UntrustedHost,
)

# aioftp logs every command and reply for debugging: names of files, and addresses inside private networks
logging.getLogger("aioftp").setLevel(logging.INFO)

_MOST_LINES = 1000
_LARGEST_LISTING = 64 * 1024 * 1024
_EPSV = re.compile(r"\(([^\d])\1\1(?P<port>\d{1,5})\1\)", re.ASCII)
_PASV = re.compile(r"(?:\d{1,3},){4}(?P<high>\d{1,3}),(?P<low>\d{1,3})", re.ASCII)
_SETTLE_WITHIN = 2.0
_MOST_REPLIES = 3
_IN_FLIGHT = 16

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Control(aioftp.BaseClient):
    """One login. Not for several asyncio tasks at once.

    Attributes:
        home: the folder that the server logs the user in to.
        features: what the server says it can do (RFC 2389), upper case: `MLST`, `UTF8`, `AUTH TLS`.
        in_step: whether every command has had its final reply; only then may the connection be used again.
    """

    def __init__(self, settings: FtpSettings, context: Context) -> None:
        # for aioftp a character is a byte: it knows no way to write a name whose bytes are no text
        super().__init__(socket_timeout=context.idle_timeout, encoding="latin-1")
        self._settings = settings
        self._context = context
        self._tls: ssl.SSLContext | None = None
        if settings.tls is not Tls.NONE:
            self._tls = ssl.create_default_context(cadata=settings.ca)
        self._extended = True
        self.home = "/"
        self.features: frozenset[str] = frozenset()
        self.in_step = True
        self._half_way = False  # the last reply asks for the other half of a rename or a transfer

    @classmethod
    async def open(cls, settings: FtpSettings, context: Context) -> Self:
        """A connection that is logged in. Raises BadCredential, UntrustedHost, Unavailable, TimedOut."""
        control = cls(settings, context)
        try:
            with ftp_errors():
                async with asyncio.timeout(context.idle_timeout):
                    await control._greet()
                    await control._log_in()
        except BaseException:
            control.abort()
            raise
        return control

    @property
    def knows_facts(self) -> bool:
        """Whether it has MLST and MLSD (RFC 3659, 7)."""
        return "MLST" in self.features

    # commands

    async def ask(self, command: str, *good: int) -> Reply:
        """The reply to one command; with `good`, raises what any other code means.

        Raises Unavailable when the connection breaks or the server closes it (421), TimedOut, BadAnswer.
        """
        self.in_step = self._half_way = False
        with ftp_errors():
            await self.command(self._bytes(command))
        return await self.reply(*good)

    async def ask_all(self, commands: Sequence[str]) -> list[Reply]:
        """The replies to commands of which none depends on another: 16 are under way at a time."""
        replies: list[Reply] = []
        for first in range(0, len(commands), _IN_FLIGHT):
            some = commands[first : first + _IN_FLIGHT]
            self.in_step = False
            with ftp_errors():
                for command in some:
                    await self.command(self._bytes(command))
            for left in range(len(some), 0, -1):
                replies.append(await self.reply())
                self.in_step = left == 1
        return replies

    async def reply(self, *good: int) -> Reply:
        """The next reply, final or preliminary (1xx). Raises as `ask`."""
        with ftp_errors():
            code, lines = await self.parse_response()
        reply = Reply(int(code), lines)
        self._half_way = 300 <= reply.code < 400
        self.in_step = reply.code >= 200 and not self._half_way
        if reply.code == 421:
            self.abort()
            raise refusal(reply)
        if good and reply.code not in good:
            raise refusal(reply)
        return reply

    async def listing(self, command: str) -> list[str]:
        """The lines that a listing command sends; bytes that are no text become lone surrogates (PEP 383).

        Raises what a refusal means, BadAnswer for a listing of more than 64 MiB.
        """
        data = await self.transfer(command)
        gathered = bytearray()
        try:
            while (piece := await data.next_piece()) is not None:
                gathered += piece
                if len(gathered) > _LARGEST_LISTING:
                    raise BadAnswer("the folder's listing is longer than 64 MiB")
        finally:
            data.abort()
        await self.reply(226, 250)
        return [self._text(line.removesuffix(b"\r")) for line in gathered.split(b"\n")]

    async def transfer(self, command: str, *, offset: int = 0) -> DataConnection:
        """A data connection on which the server has begun the transfer that the command asks for.

        Its end has a reply of its own. Raises what a refusal means.
        """
        data = DataConnection(self._context.idle_timeout)
        port = await self._passive()
        await self._connect(data, port)
        try:
            if offset:
                await self.ask(f"REST {offset}", 350)
            await self.ask(command, 125, 150)
            if self._tls is not None:
                await self._secure(data)
        except BaseException:
            data.abort()
            raise
        return data

    async def settle(self) -> bool:
        """Takes the replies to a transfer that we broke off; whether the connection is in step again.

        A server may send one reply or two. NOOP's comes after them all.
        """
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_SETTLE_WITHIN):
                if await self._caught_up():
                    return True
        self.abort()
        return False

    async def _caught_up(self) -> bool:
        if not self._half_way:
            await self.reply()
        if self._half_way:  # after RNFR, ProFTPD refuses all but RNTO
            return False
        reply = await self.ask("NOOP")
        for _ in range(_MOST_REPLIES):
            if reply.code == 200:
                return True
            reply = await self.reply()
        return False

    async def why(self, broken: StoreError) -> StoreError:
        """A data connection broke: the server's own reason if it says one, or else the given."""
        try:
            async with asyncio.timeout(_SETTLE_WITHIN):
                reply = await self.reply()
        except (StoreError, TimeoutError):
            return broken
        return broken if reply.good else refusal(reply)

    # the connection's end

    @property
    def alive(self) -> bool:
        """Whether the connection stands as far as this end knows."""
        stream = self._stream
        return stream is not None and not stream.writer.is_closing() and not stream.reader.at_eof()

    async def answers(self) -> bool:
        """Whether the server answers, asked anew; one that timed the connection out does not."""
        try:
            async with asyncio.timeout(_SETTLE_WITHIN):
                return (await self.ask("NOOP")).code < 500 and self.alive
        except (StoreError, TimeoutError):
            return False

    def leave(self) -> None:
        """Says goodbye and closes, without waiting for an answer."""
        if self.alive:
            self.stream.writer.write(b"QUIT\r\n")
        self.abort()

    def abort(self) -> None:
        """Closes at once."""
        self.in_step = False
        if self._stream is not None:
            self._stream.writer.transport.abort()

    # logging in

    async def _greet(self) -> None:
        await self.connect(self._settings.host, self._settings.port)
        greeting = await self.reply()
        while greeting.code == 120:  # "ready in nnn minutes"
            greeting = await self.reply()
        if greeting.code != 220:
            raise refusal(greeting)
        if self._settings.tls is Tls.EXPLICIT:
            await self._upgrade()

    async def _upgrade(self) -> None:
        """Explicit TLS (RFC 4217, 4)."""
        reply = await self.ask("AUTH TLS")
        if reply.code != 234:
            raise UntrustedHost("the server offers no TLS; tls=none would send the password in the clear")
        assert self._tls is not None  # noqa: S101  explicit
        await self.stream.start_tls(self._tls, self._settings.host)
        if await self._told_unasked():
            # put there before TLS began, by somebody who wants it taken for the server's own reply
            raise UntrustedHost("the store's connection had a reply in it that nobody asked for")

    async def _told_unasked(self) -> bool:
        try:
            async with asyncio.timeout(0):
                return bool(await self.stream.reader.read(1))
        except TimeoutError:
            return False

    async def _log_in(self) -> None:
        s = self._settings
        self.features = await self._features()  # before: a server that wants TLS may hang up on USER
        reply = await self.ask(f"USER {s.username}")
        if reply.code in (331, 332):
            password = s.password.get_secret_value() if s.password else "guest"
            reply = await self.ask(f"PASS {password}")
        elif not reply.good and s.tls is Tls.NONE and "AUTH TLS" in self.features:
            raise BadCredential("the server refuses logins in the clear: set tls to explicit")
        if 400 <= reply.code < 500:
            raise refusal(reply)
        if not reply.good:
            raise BadCredential("the server does not accept the user name or password")
        if s.tls is not Tls.NONE:
            await self.ask("PBSZ 0")
            if not (await self.ask("PROT P")).good:
                raise UntrustedHost("the server refuses to encrypt file transfers")
        self.features = self.features or await self._features()
        if "UTF8" in self.features and s.encoding == "utf-8":
            await self.ask("OPTS UTF8 ON")  # some refuse, as it is always on
        await self.ask("TYPE I", 200)
        where = await self.ask("PWD")
        if where.code == 257:
            self.home = str(self.parse_directory_response(where.lines[-1])) or "/"

    async def _features(self) -> frozenset[str]:
        reply = await self.ask("FEAT")
        if reply.code != 211:
            return frozenset()
        named = [line.strip().upper() for line in reply.lines[1:-1]]
        whole = {"AUTH TLS" for name in named if name.startswith("AUTH TLS")}
        return frozenset(name.partition(" ")[0] for name in named) | whole

    # data connections

    async def _passive(self) -> int:
        """The port to dial: EPSV names no address (RFC 2428, 3); the one of PASV is not looked at."""
        if self._extended:
            reply = await self.ask("EPSV")
            if reply.code == 229:
                return _port(_EPSV.search(reply.lines[-1]))
            if reply.code < 500:
                raise refusal(reply)
            self._extended = False
        return _port(_PASV.search((await self.ask("PASV", 227)).lines[-1]))

    async def _connect(self, data: DataConnection, port: int) -> None:
        """Dials the store's own host again, through the same network."""
        dialer, host = self._context.dialer, self._settings.host
        try:
            if self._tls is None:
                await dialer.connect(lambda: data, host, port)
            else:
                # TLS begins later, and uvloop has it for its own transports only
                await _over(await dialer.open_socket(host, port), data)
        except StoreError as error:
            told = f"no data connection to the server's passive port {port}: {error.message}"
            raise type(error)(told, retry_after=error.retry_after) from error

    async def _secure(self, data: DataConnection) -> None:
        """TLS in the control connection's session, as servers demand to know that it is the same client."""
        control = self.stream.writer.transport.get_extra_info("ssl_object")
        context = SSLSessionBoundContext(
            ssl.PROTOCOL_TLS_CLIENT, context=control.context, session=control.session
        )
        try:
            await data.secure(context, self._settings.host)
        except UntrustedHost:
            raise
        except StoreError as error:
            raise await self.why(error) from error

    # what aioftp calls

    async def _open_connection(self, host: str, port: int) -> Streams:
        """The control connection's."""
        sock = await self._context.dialer.open_socket(host, port)
        implicit = self._settings.tls is Tls.IMPLICIT
        try:
            return await _streams(sock, self._tls if implicit else None, host if implicit else None)
        except BaseException:
            sock.close()
            raise

    async def parse_response(self) -> tuple[Code, list[str]]:
        """A whole reply (RFC 959, 4.2): to the line that has the first one's code and no hyphen after it."""
        code, rest = await self.parse_line()
        if not (len(code) == 3 and code.isascii() and code.isdigit() and "1" <= code[0] <= "6"):
            raise BadAnswer("the store does not speak FTP: is the port right?")
        lines = [rest]
        more = rest.startswith("-")
        while more:
            if len(lines) == _MOST_LINES:
                raise BadAnswer("the server's reply never ends")
            again, rest = await self.parse_line()
            more = again != code or rest.startswith("-")
            lines.append(rest if again == code else again + rest)
        return code, lines

    async def parse_line(self) -> tuple[Code, str]:
        """One line of a reply."""
        try:
            line = await self.stream.readline()
        except ValueError as error:
            raise BadAnswer("the server's reply is longer than a line may be") from error
        if not line.endswith(b"\n"):
            raise ConnectionResetError("closed")
        text = self._text(line).rstrip("\r\n")
        return Code(text[:3]), text[3:]

    # bytes

    def _text(self, told: bytes | bytearray) -> str:
        return told.decode(self._settings.encoding, "surrogateescape")

    def _bytes(self, command: str) -> str:
        try:
            return command.encode(self._settings.encoding, "surrogateescape").decode("latin-1")
        except UnicodeEncodeError as error:
            raise InvalidName("the account's encoding lacks a character of this") from error


def _port(match: re.Match[str] | None) -> int:
    if match is None:
        raise BadAnswer("the server named no port for a data connection")
    found = {name: int(text) for name, text in match.groupdict().items()}
    port = found["port"] if "port" in found else found["high"] * 256 + found["low"]
    if not 0 < port < 65536:
        raise BadAnswer("the server named a port for a data connection that is none")
    return port


async def _streams(sock: socket.socket, tls: ssl.SSLContext | None, server_hostname: str | None) -> Streams:
    """Streams over the connected socket, after the TLS handshake if there is one."""
    if sock.family == socket.AF_UNIX:  # a tunnel's
        return await asyncio.open_unix_connection(sock=sock, ssl=tls, server_hostname=server_hostname)
    return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=server_hostname)


async def _over(sock: socket.socket, protocol: DataConnection) -> None:
    """The protocol over the connected socket."""
    loop = asyncio.get_running_loop()
    make = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
    try:
        await make(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
