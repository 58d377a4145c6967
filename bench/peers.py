"""The other side of a comparison, each as its users would set it up for this job."""

import getpass
import shutil
import sys
from pathlib import Path

import psutil

from bench.fleet import Fleet, free_port
from tests.servers.sshd import Sshd

USER, PASSWORD = "bench", "bench-secret"


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


def nginx_store(fleet: Fleet, folder: Path, sink: int, *, tls: Path | None = None) -> int:
    """A store: a folder by nginx behind HTTP Basic, what is not read goes to the sink.

    Args:
        fleet: gets the process.
        folder: what is served.
        sink: the port of a `bench.sink`.
        tls: the folder of `cert.pem` and `key.pem`; None for plain HTTP.
    """
    port = free_port()
    users = fleet.folder / f"users{port}"
    users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    certificate = f"ssl_certificate {tls}/cert.pem; ssl_certificate_key {tls}/key.pem;" if tls else ""
    http = f"""
    proxy_http_version 1.1; proxy_request_buffering off; client_body_buffer_size 256k;
    upstream sink {{ server 127.0.0.1:{sink}; }}
    server {{ listen 127.0.0.1:{port} {"ssl" if tls else ""}; {certificate}
      auth_basic store; auth_basic_user_file {users}; root {folder}; autoindex on;
      location / {{ if ($request_method !~ "GET|HEAD") {{ proxy_pass http://sink; }} }}
    }}"""
    _nginx(fleet, f"store{port}", http, port)
    return port


def mitmdump(fleet: Fleet, trusted: Path) -> tuple[int, Path, list[psutil.Process]]:
    """mitmproxy's own program without an addon of anybody's, streaming; its port and its authority."""
    port, home = free_port(), fleet.folder / "mitmdump"
    settings = {
        "confdir": home,
        "stream_large_bodies": "1",
        "connection_strategy": "lazy",
        "ssl_verify_upstream_trusted_ca": trusted,
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    program = Path(sys.executable).with_name("mitmdump")
    address = ("--listen-host", "127.0.0.1", "--listen-port", str(port))
    process = fleet.start("mitmdump", program, "--quiet", *address, *words, port=port)
    return port, home / "mitmproxy-ca-cert.pem", [process]


def rclone_http(fleet: Fleet, target: int) -> tuple[int, list[psutil.Process]] | None:
    """`rclone serve http` of an HTTP remote; None when rclone is not installed."""
    url = f"http://{USER}:{PASSWORD}@127.0.0.1:{target}"
    return _rclone(fleet, "http", ":http:", "--http-url", url)


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
    url = f"http://localhost:{target}"
    return _rclone(fleet, "webdav", ":webdav:", "--webdav-url", url, "--webdav-vendor", "other")


def _rclone(fleet: Fleet, kind: str, *remote: str) -> tuple[int, list[psutil.Process]] | None:
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if rclone is None:
        return None
    port = free_port()
    process = fleet.start(
        f"rclone{port}", rclone, "serve", kind, *remote, "--addr", f"127.0.0.1:{port}", port=port
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
