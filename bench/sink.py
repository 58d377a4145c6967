"""Takes uploads and throws them away: what a forwarded port leads to when only the port is measured.

python -m bench.sink PORT

PROPFIND is answered with a folder without files, so that it passes for a WebDAV store.
"""

import socket
import sys
import threading

_CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_FOLDER = (
    b'<?xml version="1.0"?><multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><resourcetype>'
    b"<collection/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
)
_IS_FOLDER = b"HTTP/1.1 207 Multi-Status\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_FOLDER),
    _FOLDER,
)


def serve(sock: socket.socket) -> None:
    """One connection, request after request."""
    buffer = bytearray(1024 * 1024)
    with sock:
        while True:
            got = b""
            while b"\r\n\r\n" not in got:
                piece = sock.recv(65536)
                if not piece:
                    return
                got += piece
            head, _, rest = got.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            left = (int(lengths[0].split(b":")[1]) if lengths else 0) - len(rest)
            while left:
                taken = sock.recv_into(buffer, min(left, len(buffer)))
                if not taken:
                    return
                left -= taken
            sock.sendall(_IS_FOLDER if head.startswith(b"PROPFIND ") else _CREATED)


def main() -> None:
    """The command."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
