"""The other side of a comparison, each as its users would set it up for this job."""

import getpass
import shutil
import sys
from pathlib import Path

import psutil

from bench.fleet import Fleet, free_port
from tests.servers.sshd import Sshd


def nginx_static(fleet: Fleet, folder: Path) -> tuple[int, list[psutil.Process]]:
    """nginx that serves a folder."""
    port = free_port()
    http = f"server {{ listen 127.0.0.1:{port}; root {folder}; }}"
    return port, [_nginx(fleet, f"static{port}", http, port)]


def nginx_proxy(fleet: Fleet, target: int) -> tuple[int, list[psutil.Process]]:
    """nginx's proxy_pass with buffers of 256 KiB, nothing spooled to disk, upstream kept alive."""
    port = free_port()
    http = f"""
    proxy_buffers 8 256k; proxy_buffer_size 256k; proxy_busy_buffers_size 512k;
    proxy_max_temp_file_size 0; proxy_request_buffering off; proxy_http_version 1.1;
    client_body_buffer_size 256k;
    upstream store {{ server 127.0.0.1:{target}; keepalive 16; }}
    server {{ listen 127.0.0.1:{port};
      location / {{
        proxy_pass http://store; proxy_set_header Connection ""; proxy_set_header Host localhost;
      }}
    }}"""
    return port, [_nginx(fleet, f"proxy{port}", http, port)]


def _nginx(fleet: Fleet, name: str, http: str, port: int) -> psutil.Process:
    home = fleet.folder / name
    home.mkdir()
    conf = home / "nginx.conf"
    user = "user root;" if getpass.getuser() == "root" else ""
    conf.write_text(
        f"{user} daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0;\n"
        f"{http}\n}}\n"
    )
    return fleet.start(name, "nginx", "-p", home, "-c", conf, port=port)


def rclone_serve(fleet: Fleet, target: int) -> tuple[int, list[psutil.Process]] | None:
    """`rclone serve webdav` of a WebDAV remote; None when rclone is not installed."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if rclone is None:
        return None
    port = free_port()
    remote = (":webdav:", "--webdav-url", f"http://localhost:{target}", "--webdav-vendor", "other")
    process = fleet.start(
        f"rclone{port}", rclone, "serve", "webdav", *remote, "--addr", f"127.0.0.1:{port}", port=port
    )
    return port, [process]


def ssh_reverse(
    fleet: Fleet, server: Sshd, target: int, through: int | None = None
) -> tuple[int, list[psutil.Process]]:
    """`ssh -R`: a port at the server that leads through the client to the target. OpenSSH's defaults."""
    port = free_port()
    key = server.data.parent / "ck"
    command = (
        "ssh", "-N", "-F", "none", "-i", key, "-p", str(through or server.port),
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "ExitOnForwardFailure=yes",
        "-R", f"127.0.0.1:{port}:127.0.0.1:{target}", f"{server.user}@127.0.0.1",
    )  # fmt: skip
    client = fleet.start(f"ssh{port}", *command, port=port)
    return port, [client, psutil.Process(server.pid)]
