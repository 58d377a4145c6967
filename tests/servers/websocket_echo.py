"""A real websocket server, a process of its own, that wants Basic at the handshake and speaks TLS alone.

It sends back what it gets; but `close CODE REASON` makes it close so, and `flood N` sends N messages. What it
was closed with, it writes in its log.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.server import ServerConnection, basic_auth, serve
from websockets.exceptions import ConnectionClosed

from tests.servers.certificates import certificate
from tests.servers.sshd import free_port, wait_for_port

USER, PASSWORD = "wsu", "a password of the store"
LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True)
class WebsocketEcho:
    url: str  # https: what an account's settings say
    port: int
    ca: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """As a machine that loses its power ends it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def websocket_echo(folder: Path) -> Iterator[WebsocketEcho]:
    """The server, until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, port, log = certificate(folder), free_port(), folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.websocket_echo", str(port), str(folder)],
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            stdout=out,
        )
    made = WebsocketEcho(f"https://localhost:{port}/", port, ca, log, process)
    try:
        wait_for_port(port)
        yield made
    finally:
        if process.poll() is None:
            made.kill()


async def _answer(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            word, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
            if word == "close":
                code, _, reason = rest.partition(" ")
                await connection.close(int(code), reason)
            elif word == "flood":
                for number in range(int(rest)):
                    await connection.send(f"{number} {'x' * 1000}")
            else:
                await connection.send(message)
    print("closed", connection.close_code, connection.close_reason, flush=True)


async def _main(port: int, folder: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    lets_in = basic_auth("store", (USER, PASSWORD))
    async with serve(
        _answer, "127.0.0.1", port, ssl=tls, process_request=lets_in, max_size=LARGEST
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), Path(sys.argv[2])))
