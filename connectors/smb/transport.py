"""Four hooks on smbprotocol, none of them public, each with a test: the library is pinned for them.

- its connection takes a socket that is connected already, where it would dial by itself;
- whoever asks is told of the answer, where the library would have a thread wait for it;
- an answer that should be signed or encrypted and is not ends the connection, where the library looks at
  a signature only if the answer says that it has one;
- a signature is computed over a message as it is, where the library copies it several times.
"""

import logging
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from smbprotocol.connection import Connection, Request, SigningAlgorithms
from smbprotocol.exceptions import SMBException
from smbprotocol.header import Commands, NtStatus, Smb2Flags

# Its lines name hosts, users and paths; what it has to say reaches us as exceptions.
logging.getLogger("smbprotocol").setLevel(logging.CRITICAL + 1)

_LARGEST = 2 * 1024 * 1024  # nothing that we ask for is answered with more than 1 MiB and its header
_CREDITS_WANTED = 512
_CREDITS_A_TIME = 64


class GivenSocket:
    """The library's transport ([MS-SMB2] 2.1) over a socket of ours.

    The library's own selects, which fails for a file descriptor above 1023, and loses what it had read
    when a message pauses in the middle.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.connected = False
        self.moved = time.monotonic()
        """When bytes last went either way."""
        self.received = b""
        """The last message, as it came."""
        self._sock = sock
        self._sending = threading.Lock()

    def connect(self) -> None:
        """Nothing is dialled: the socket is connected."""
        self._sock.setblocking(True)
        self.connected = True

    def close(self) -> None:
        """Ends both directions at once, from any thread; whoever sends or receives stops."""
        self.connected = False
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Gives the socket back, when nobody receives any more."""
        self.close()
        with self._sending:
            self._sock.close()

    def send(self, message: Any) -> None:
        """Sends one message, as bytes or, when it is encrypted, as a structure. Raises OSError."""
        body = message if isinstance(message, bytes) else message.pack()
        rest = memoryview(struct.pack(">I", len(body)) + body)
        with self._sending:
            while rest:
                rest = rest[self._sock.send(rest) :]
                self.moved = time.monotonic()

    def recv(self, timeout: float) -> bytes:
        """One message; none when the connection ended. Raises SMBException for what can't be one."""
        head = self._exactly(4)
        if not head:
            return b""
        size = int.from_bytes(head, "big")  # the first byte is zero
        if not 64 <= size <= _LARGEST:
            raise SMBException("not a message of SMB")
        self.received = self._exactly(size)
        return self.received

    def _exactly(self, size: int) -> bytes:
        buffer = bytearray(size)
        rest = memoryview(buffer)
        while rest:
            try:
                count = self._sock.recv_into(rest)
            except OSError:
                count = 0
            if not count:
                self.close()
                return b""
            self.moved = time.monotonic()
            rest = rest[count:]
        return bytes(buffer)


class Caller(Protocol):
    """Who wants to be told of answers; called in the receiving thread."""

    def answered(self, position: int, request: Request) -> None:
        """The request at that position of what was asked has an answer, perhaps that it takes a while."""


class _Bell(threading.Event):
    """What the library sets when an answer is there."""

    def __init__(self, caller: Caller, position: int, request: Request) -> None:
        super().__init__()
        self._caller = caller
        self._position = position
        self._request = weakref.ref(request)  # which holds us, and a piece of a file

    def set(self) -> None:
        super().set()
        request = self._request()
        if request is not None:
            self._caller.answered(self._position, request)


class _Outstanding(dict[int, Any]):
    """The library's table of requests, filled before a request is sent: no answer comes too early."""

    caller: Caller | None = None
    _count = 0

    def calling(self, caller: Caller | None) -> None:
        """Whom the requests that are sent from now on belong to; None has the library wait by itself."""
        self.caller, self._count = caller, 0

    def __setitem__(self, message_id: int, request: Request) -> None:
        if self.caller is not None:
            request.response_event = _Bell(self.caller, self._count, request)
            self._count += 1
        super().__setitem__(message_id, request)

    def values(self) -> Any:
        """A snapshot: the library goes through it in one thread while another one removes."""
        return dict(self).values()


class GivenConnection(Connection):  # type: ignore[misc]  # the library has no types
    """The library's connection with the three hooks."""

    def __init__(self, sock: socket.socket, host: str, port: int, lost: Callable[[], None]) -> None:
        self.given = GivenSocket(sock)
        super().__init__(uuid4(), host, port, require_signing=True)
        self.outstanding_requests = _Outstanding()
        self._lost = lost

    @property
    def transport(self) -> GivenSocket:
        """Ours, whatever the library sets."""
        return self.given

    @transport.setter
    def transport(self, made: object) -> None:
        """`connect` of the library sets a transport of its own; it has not dialled yet."""

    @property
    def receiving(self) -> bool:
        """Whether the receiving thread was started; it gives the socket back at its end."""
        return self._t_worker is not None

    @property
    def nonsense(self) -> bool:
        """Whether the receiving thread stopped at something that it could not read or trust."""
        return self._t_exc is not None

    def credits(self) -> int:
        """What may be sent now, in units of 64 KiB ([MS-SMB2] 3.2.4.1.2)."""
        window = self.sequence_window
        return int(window["high"] - window["low"])

    def charge(self, message: Any) -> int:
        """The credits that a message costs."""
        return max(1, int(self._calculate_credit_charge(message)))

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:
        """Raises SMBException for an answer that came less protected than it has to ([MS-SMB2] 3.2.5.1.3).

        Called for every answer that was not encrypted.
        """
        session = self.session_table.get(session_id)
        interim = header["status"].get_value() == NtStatus.STATUS_PENDING
        login = header["command"].get_value() == Commands.SMB2_SESSION_SETUP
        if session is not None and not interim and not login:
            request = self.outstanding_requests[header["message_id"].get_value()]
            tree = session.tree_connect_table.get(request.message["tree_id"].get_value())
            if session.encrypt_data or (tree is not None and tree.encrypt_data):
                raise SMBException("an answer is not encrypted")
            if not header["flags"].has_flag(Smb2Flags.SMB2_FLAGS_SIGNED):
                raise SMBException("an answer is not signed")
        if self.given.received[20:24] == bytes(4):  # the only message of what was received
            header.pack = lambda: self.given.received  # the library would put it together again, by copies
        super().verify_signature(header, session_id, force)

    def _generate_signature(
        self, message: bytes, key: bytes, message_id: int, response: bool, command: int
    ) -> Any:
        """AES-GMAC ([MS-SMB2] 3.1.4.1) without the library's copies of each message."""
        if self.signing_algorithm_id != SigningAlgorithms.AES_GMAC:
            return super()._generate_signature(message, key, message_id, response, command)
        role = response | (command == Commands.SMB2_CANCEL) << 1
        mac = Cipher(AES(key), GCM(struct.pack("<QI", message_id, role))).encryptor()
        mac.authenticate_additional_data(memoryview(message)[:48])
        mac.authenticate_additional_data(bytes(16))  # where the signature goes
        mac.authenticate_additional_data(memoryview(message)[64:])
        mac.finalize()
        return mac.tag

    def _send(self, messages: list[Any], *args: Any, credit_request: int | None = None, **more: Any) -> Any:
        if credit_request is None and self.credits() < _CREDITS_WANTED:
            credit_request = _CREDITS_A_TIME
        return super()._send(messages, *args, credit_request=credit_request, **more)

    def _check_worker_running(self) -> None:
        """What made the receiving thread stop may be any exception: it read what the peer wrote."""
        if self._t_exc is not None:
            self.given.close()
            raise SMBException("the receiving thread stopped") from self._t_exc
        super()._check_worker_running()

    def _process_message_thread(self) -> None:
        try:
            super()._process_message_thread()
        finally:
            self.given.release()
            self._lost()
