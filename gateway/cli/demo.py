"""`isthmus demo`: the main job on real input, in two network namespaces, each step explained.

    namespace "gateway"                          namespace "private"
    isthmus serve 192.0.2.1:8080  <-- dials --   isthmus-agent, OpenSSH on 10.99.0.5:22
                                                 accepts nothing inbound

Everything is made for the demo and removed behind it.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from gateway.cli.output import fail

SIZE = 256 * 1024 * 1024
_HERE, _THERE, _STORE = "192.0.2.1", "192.0.2.2", "10.99.0.5"
_PORT = 8080
_PIECE = 1024 * 1024
_FIREWALL = """
table inet demo {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}
"""


def demo() -> None:
    """Streams a file both ways through a firewall that lets nothing in. Needs root, for the namespaces."""
    if os.getuid() != 0:
        fail("the demo makes network namespaces, which needs root: run it with sudo")
    missing = [tool for tool in ("ip", "nft", "ss", "sshd") if _tool(tool) is None]
    if missing:
        fail(f"the demo needs {', '.join(missing)}: 'make demo' installs them")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-demo-")))
        gateway, private = stack.enter_context(namespaces())
        Demo(folder, gateway, private, stack).run()


def _say(title: str, *lines: str) -> None:
    typer.secho(f"\n== {title}", bold=True)
    for line in lines:
        typer.echo(f"   {line}")


class Demo:
    """One run. `stack` ends whatever is started."""

    def __init__(self, folder: Path, gateway: str, private: str, stack: ExitStack) -> None:
        self._folder = folder
        self._gateway = gateway
        self._private = private
        self._stack = stack
        self._data = folder / "data"
        self._isthmus = [sys.executable, "-P", "-m", "gateway.cli.main"]
        self._agent = [sys.executable, "-P", "-c", "from connect_agent.cli import main; main()"]

    def run(self) -> None:
        """Every step. Raises SystemExit with what went wrong."""
        _say(
            "Two networks",
            f"'private' has a real OpenSSH server on {_STORE}:22 and drops every inbound packet.",
            "'gateway' has no route to it.",
        )
        self._start_sshd()
        _join_namespace(self._gateway)
        self._show_that_nothing_gets_in()
        account = self._set_up()
        self._stream(account)
        _say("Done", "Everything that the demo made is removed now.")

    def _start_sshd(self) -> None:
        home = self._folder / "ssh"
        (home / "files").mkdir(parents=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        for name in ("host", "client"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name))
        shutil.copy(home / "client.pub", home / "authorized")
        (home / "conf").write_text(
            f"Port 22\nListenAddress {_STORE}\nHostKey {home}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
            f"AuthorizedKeysFile {home}/authorized\nPasswordAuthentication no\nPermitRootLogin yes\n"
            "Subsystem sftp internal-sftp\n"
        )
        sshd = str(_tool("sshd"))
        self._start("sshd", "ip", "netns", "exec", self._private, sshd, "-D", "-e", "-f", str(home / "conf"))

    def _show_that_nothing_gets_in(self) -> None:
        for host in (_STORE, _THERE):
            try:
                socket.create_connection((host, 22), 2).close()
            except OSError as error:
                outcome = error.strerror or "no answer"
            else:
                raise SystemExit(f"the demo's firewall let {host}:22 in: nothing would be shown")
            _say(f"From the gateway straight to {host}:22", f"fails, as it should: {outcome}")

    def _set_up(self) -> dict[str, Any]:
        self._call("init")
        self._call("developer", "create", "demo@example.com")
        app = self._call("app", "create", "demo", "--developer", "demo@example.com")
        self._call("network", "create", "private")
        data, port = str(self._data), str(_PORT)
        self._start("gateway", *self._isthmus, "serve", "--data", data, "--host", _HERE, "--port", port)
        _until(lambda: _listens(_HERE, _PORT), "the gateway did not start")
        token = self._call("network", "invite", "private", "--url", f"http://{_HERE}:{_PORT}")["token"]
        config = str(self._folder / "agent.toml")
        inside = ["ip", "netns", "exec", self._private, *self._agent]
        _run(*inside, "join", token, "--config", config, "--allow", f"{_STORE}:22")
        self._start("agent", *inside, "run", "--config", config)
        _until(self._agent_connected, "the agent did not connect")
        _say(
            "An agent dials out",
            "It joined with a one-time token, proved its key, and keeps a websocket open.",
            f"Its own allow-list has {_STORE}:22 and nothing else; it holds no credential.",
        )
        added = self._call(
            "account", "add", "sftp", "--app", app["id"], "--network", "private",
            "--set", f"host={_STORE}", "--set", "username=root",
            "--set", f"private_key=@{self._folder}/ssh/client", "--set", f"root={self._folder}/ssh/files",
        )  # fmt: skip
        _say(
            "An account", f"SFTP through the network 'private', credential sealed. Tried: {added['checked']}"
        )
        return added

    def _agent_connected(self) -> bool:
        networks = self._call("network", "status")["networks"]
        return bool(networks[0]["agents"] and networks[0]["agents"][0]["connected"])

    def _stream(self, added: dict[str, Any]) -> None:
        import kloudless  # type: ignore[import-untyped, unused-ignore]  # the published client, for the demo alone

        kloudless.configuration["base_url"] = f"http://{_HERE}:{_PORT}"
        account = kloudless.Account(token=added["access_token"])
        source = self._folder / "source.bin"
        digest = _make_file(source)
        started = time.monotonic()
        with source.open("rb") as content:
            made = account.post(
                "storage/files",
                data=content,
                headers={"X-Kloudless-Metadata": json.dumps({"name": "demo.bin", "parent_id": "root"})},
            ).data
        _say("Upload of 256 MiB by the published client", _rate(started))
        names = [entry["name"] for entry in account.get("storage/folders/root/contents").data["objects"]]
        _say("The folder's listing", str(names))
        for cut in (False, True):
            started = time.monotonic()
            received = self._download(account, made["id"], cut=cut)
            title = "Download, its websocket killed in the middle" if cut else "Download of 256 MiB"
            if received != digest:
                raise SystemExit(f"{title}: the SHA-256 is another one")
            _say(title, _rate(started), f"SHA-256 is right: {received}")
        agent = self._call("network", "status")["networks"][0]["agents"][0]
        if not agent["resumes"]:
            raise SystemExit("the websocket was not killed: the demo showed nothing")
        _say("What the hub saw", f"the session went on over a new websocket {agent['resumes']} time(s)")

    def _download(self, account: Any, file_id: str, *, cut: bool) -> str:
        digest, size = hashlib.sha256(), 0
        response = account.get(f"storage/files/{file_id}/contents", get_raw_response=True, stream=True)
        for piece in response.iter_content(_PIECE):
            digest.update(piece)
            size += len(piece)
            if cut and size > SIZE // 4:
                cut = False
                _run("ip", "netns", "exec", self._private, "ss", "-K", "dst", _HERE, "dport", "=", str(_PORT))
        return digest.hexdigest()

    def _call(self, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(_run(*self._isthmus, *words, "--data", str(self._data), "--json"))
        return answer

    def _start(self, name: str, *command: str) -> None:
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        self._stack.callback(_stop, process)


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two joined namespaces, the second behind a firewall that lets nothing in; removed at the end."""
    mark = secrets.token_hex(3)
    gateway, private = f"isthmus-gw-{mark}", f"isthmus-in-{mark}"
    outer, inner = f"ig{mark}", f"ip{mark}"
    with ExitStack() as stack:
        for name in (gateway, private):
            _run("ip", "netns", "add", name)
            stack.callback(_run, "ip", "netns", "delete", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "link", "add", outer, "netns", gateway, "type", "veth", "peer", inner, "netns", private)
        for name, link, address in ((gateway, outer, _HERE), (private, inner, _THERE)):
            _run("ip", "-n", name, "address", "add", f"{address}/30", "dev", link)
            _run("ip", "-n", name, "link", "set", link, "up")
        _run("ip", "-n", private, "address", "add", f"{_STORE}/32", "dev", "lo")
        _run("ip", "netns", "exec", private, "nft", "-f", "-", given=_FIREWALL)
        yield gateway, private


def _join_namespace(name: str) -> None:
    """This process, and what it starts, live in the namespace from now on."""
    if threading.active_count() != 1:
        raise RuntimeError("setns moves one thread: it must be the only one")
    with Path(f"/run/netns/{name}").open("rb") as namespace:
        os.setns(namespace.fileno(), os.CLONE_NEWNET)


def _run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(  # noqa: S603  our own words, no shell
        command, input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"demo: {command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin:/usr/local/bin")


def _make_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // _PIECE):
            piece = secrets.token_bytes(_PIECE)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _rate(started: float) -> str:
    took = time.monotonic() - started
    return f"{SIZE / took / 1e6:.0f} MB/s ({took:.1f} s)"


def _listens(host: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((host, port)) == 0


def _until(holds: Any, else_say: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"demo: {else_say}")
        time.sleep(0.1)
