"""Sockets that several processes of one role listen on together: the api's, the native proxy's.

They are made once and handed down, rather than by each process with SO_REUSEPORT: port 0 is one port, whoever
is idle takes the next connection, nobody else of the same user can join in, and while a process is started
again what came for it waits in the one queue instead of being refused.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BACKLOG: Final = 1024


def bound(host: str, port: int) -> Sequence[socket.socket]:
    """A socket on each address of the host ("" is every one of the machine's), all on one port.

    Port 0 is a free one. Nobody can connect before they `listen`. Raises OSError when the host has no
    address, or somebody listens on one of them.
    """
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, (address, _, *more) in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # else :: would take IPv4's port as well
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port, *more))
            port = port_of(made)
    except BaseException:
        for sock in made:
            sock.close()
        raise
    return made


def listening(host: str, port: int) -> Sequence[socket.socket]:
    """Bound sockets on which connections wait from now on. Raises OSError as `bound` does."""
    made = bound(host, port)
    try:
        for sock in made:
            sock.listen(BACKLOG)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made


def port_of(sockets: Sequence[socket.socket]) -> int:
    """The one port of them all."""
    port: int = sockets[0].getsockname()[1]
    return port


def announce(place: Path, sockets: Sequence[socket.socket]) -> None:
    """Writes their port where the command line and the api look for it."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    place.write_text(str(port_of(sockets)))
