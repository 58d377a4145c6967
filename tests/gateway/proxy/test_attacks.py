"""What is refused, however it is spelled: no other host, no second reading of a request, no way past."""

import socket
import ssl
from base64 import b64encode
from contextlib import closing

import pytest

from connectors.interface import NotPermitted
from gateway.operations import AccountRef
from gateway.operations.dialing import Dialing
from tests.gateway.proxy.proxied import Account, Proxied
from tests.servers.apache import PASSWORD, USER, Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]


def basic(account: Account) -> str:
    return b64encode(f"{account.id}:{account.token}".encode()).decode()


def spoken(proxied: Proxied, sent: bytes) -> bytes:
    """What the proxy answers to these bytes, until it closes or is silent."""
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
        sock.sendall(sent)
        return received(sock)


def received(sock: "socket.socket") -> bytes:
    answer = b""
    sock.settimeout(3)
    try:
        while piece := sock.recv(65536):
            answer += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return answer


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer[:200]
    return int(answer[9:12])


def opening(account: Account, store: Apache) -> bytes:
    who = f"Proxy-Authorization: Basic {basic(account)}"
    return f"CONNECT localhost:{store.port} HTTP/1.1\r\n{who}\r\n\r\n".encode()


def connect(proxied: Proxied, account: Account, place: str) -> bytes:
    return spoken(
        proxied, f"CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Basic {basic(account)}\r\n\r\n".encode()
    )


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[64:ff9b::7f00:1]"),
        *("169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal", "168.63.129.16"),
        *("localhost.", "LOCALHOST", "localtest.me", "example.com"),
    ],
)
def test_nothing_but_the_accounts_host_and_port_is_connected_to(
    proxied: Proxied, account: Account, host: str
) -> None:
    for port in (80, proxied.port, proxied.proxy_port):
        answer = connect(proxied, account, f"{host}:{port}")
        assert status(answer) == 403, answer
        assert b"is not a host of account" in answer


def test_an_account_whose_store_has_a_forbidden_address_is_not_reached(
    proxied: Proxied, plain_store: Apache, tmp_path_factory: pytest.TempPathFactory
) -> None:
    strict = Proxied(tmp_path_factory.mktemp("strict"), settings={"ISTHMUS_PROXY_PRIVATE": "[]"})
    strict.set_up()
    with strict.serving():
        for host in ("localhost", "[::ffff:127.0.0.1]"):
            url = f"http://{host}:{plain_store.port}/"
            made = strict.isthmus(
                *("account", "add", "webdav", "--app", strict.app["id"], "--set", f"url={url}"),
                *("--set", f"username={USER}", "--set", f"password={PASSWORD}"),
            )
            code, why = strict.curl(Account(made["id"], made["access_token"]), "--globoff", url)
            assert code in (403, 502), why
            assert "an address that the proxy does not go to" in why


def test_nobody_else_on_the_machine_gets_the_workers_connections(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    proxied.curl(account, store.url)
    dial = proxied.data / "run" / "dial.sock"
    for place in (dial, dial.parent):
        assert not place.stat().st_mode & 0o007, "others may not come near it"
    listening = proxied.run("ss", "-H", "-l", "-t", "-n", "-p").stdout.splitlines()
    workers = proxied.processes("worker")
    assert workers
    assert not any(f"pid={worker.name}," in line for line in listening for worker in workers), (
        "it has no port"
    )


async def test_the_worker_connects_the_proxy_to_its_accounts_places_alone(
    proxied: Proxied, account: Account, store: Apache, plain_store: Apache
) -> None:
    """Asked as a proxy that was taken over would: through the socket itself."""
    dialing = Dialing(proxied.data / "run" / "dial.sock")
    ref = AccountRef(account.id, 0)
    with closing(await dialing.store(ref, "localhost", store.port, tls=False)) as dialled:
        assert dialled.sock.getpeername()[1] == store.port
    for place in (("localhost", plain_store.port), ("127.0.0.1", store.port), ("evil.example", 443)):
        with pytest.raises(NotPermitted, match="not one of the account's"):
            await dialing.store(ref, *place, tls=False)
    with pytest.raises(NotPermitted, match="proxy_pass"):
        await dialing.past(ref, "localhost", plain_store.port)


def test_an_absolute_target_with_another_host_header_is_refused(
    proxied: Proxied, other: Account, plain_store: Apache
) -> None:
    (plain_store.data / "h.txt").write_text("h")

    def ask(*hosts: str) -> bytes:
        lines = [
            f"GET {plain_store.url}h.txt HTTP/1.1",
            f"Proxy-Authorization: Basic {basic(other)}",
            *(f"Host: {host}" for host in hosts),
        ]
        return spoken(proxied, ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode())

    right = f"localhost:{plain_store.port}"
    assert status(ask(right)) == 200
    assert status(ask("evil.example")) == 421
    assert status(ask("localhost")) == 421
    assert status(ask(f"{right}@evil.example")) == 421
    assert status(ask(right, right)) == 400
    assert status(ask()) == 421


def test_a_tls_name_that_is_not_connects_is_refused(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    (store.data / "h.txt").write_text("h")
    context = ssl.create_default_context(cafile=str(proxied.ca))
    for name, host, expected in (
        ("localhost", f"localhost:{store.port}", 200),
        ("evil.example", f"localhost:{store.port}", 421),
        ("localhost", "evil.example", 421),
    ):
        with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
            sock.sendall(opening(account, store))
            assert status(sock.recv(4096)) == 200
            with context.wrap_socket(sock, server_hostname=name) as tls:
                tls.sendall(f"GET /h.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                assert status(received(tls)) == expected


def test_an_absolute_target_inside_a_tunnel_is_for_the_tunnels_host(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    (store.data / "h.txt").write_text("h")
    context = ssl.create_default_context(cafile=str(proxied.ca))
    right = f"localhost:{store.port}"
    for target, host, expected in (
        (right, right, 200),
        ("evil.example", right, 421),
        (right, "evil.example", 421),
    ):
        with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
            sock.sendall(opening(account, store))
            assert status(sock.recv(4096)) == 200
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                head = f"GET https://{target}/h.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                tls.sendall(head.encode())
                assert status(received(tls)) == expected


def test_what_is_neither_tls_nor_http_does_not_get_through_a_tunnel(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
        head = (
            f"CONNECT localhost:{store.port} HTTP/1.1\r\nProxy-Authorization: Basic {basic(account)}\r\n\r\n"
        )
        sock.sendall(head.encode())
        assert status(sock.recv(4096)) == 200
        sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        assert b"SSH-" not in received(sock).replace(b"SSH-2.0-OpenSSH_9.2", b"")
    assert "SSH" not in store.log.read_text()


MALFORMED = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a list of lengths": "Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": "Content-Length: +5\r\n\r\nhello",
    "a folded line": "X-A: b\r\n Content-Length: 5\r\n\r\nhello",
    "white space before a colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked behind a tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a bare carriage return": "X-A: b\rContent-Length: 5\r\n\r\nhello",
    "a NUL": "X-A: b\0c\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_request_that_parsers_read_in_several_ways_is_refused(
    proxied: Proxied, other: Account, plain_store: Apache, kind: str
) -> None:
    before = plain_store.log.read_text()
    head = f"PUT {plain_store.url}smuggled HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
    head += f"Proxy-Authorization: Basic {basic(other)}\r\n"
    answer = spoken(proxied, (head + MALFORMED[kind]).encode())
    assert status(answer) == 400, answer
    assert plain_store.log.read_text() == before


def test_chunk_extensions_do_not_reach_the_store(
    proxied: Proxied, other: Account, plain_store: Apache
) -> None:
    head = f"PUT {plain_store.url}chunks HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
    head += f"Proxy-Authorization: Basic {basic(other)}\r\n"
    head += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = spoken(proxied, (head + "5;a=b\r\nhello\r\n0\r\n\r\n").encode())
    assert status(answer) in (201, 204)
    assert (plain_store.data / "chunks").read_bytes() == b"hello"


def test_a_head_that_is_too_large_is_a_431(proxied: Proxied, other: Account, plain_store: Apache) -> None:
    head = f"GET {plain_store.url} HTTP/1.1\r\nHost: localhost:{plain_store.port}\r\n"
    many = "".join(f"X-{n}: a\r\n" for n in range(100_000))
    assert status(spoken(proxied, (head + many + "\r\n").encode())) == 431
    endless = spoken(proxied, (head + "X: " + "a" * 100_000).encode())
    assert status(endless) == 431


def test_a_redirect_to_a_denied_host_does_not_carry_the_header(
    proxied: Proxied, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.servers.apache import apache
    from tests.servers.sshd import free_port

    catching = free_port()
    extra = f"LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so\nRedirect 302 /away http://127.0.0.1:{catching}/x"
    with apache(tmp_path_factory.mktemp("redirects"), extra=extra) as server, socket.socket() as catcher:
        made = proxied.add("webdav", url=server.url, username=USER, password=PASSWORD)
        catcher.bind(("127.0.0.1", catching))
        catcher.listen()
        code, why = proxied.curl(made, "-L", f"{server.url}away")
        assert (code, "is not a host of account" in why) == (403, True)
        catcher.settimeout(0.2)
        with pytest.raises(TimeoutError):
            catcher.accept()


def test_an_echoed_secret_is_masked(proxied: Proxied, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.servers.apache import apache

    modules = "/usr/lib/apache2/modules"
    extra = f"""LoadModule headers_module {modules}/mod_headers.so
LoadModule setenvif_module {modules}/mod_setenvif.so
LoadModule include_module {modules}/mod_include.so
SetEnvIf Authorization "(.*)" SEEN=$1
Header always set X-Echo "%{{SEEN}}e"
Header always set Set-Cookie "session=1"
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
<Directory />
Options +Includes
</Directory>"""
    sent = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with apache(tmp_path_factory.mktemp("echoes"), extra=extra) as server:
        (server.data / "echo.shtml").write_text('<p><!--#echo var="SEEN" --></p>')
        made = proxied.add("webdav", url=server.url, username=USER, password=PASSWORD)
        direct = proxied.run("curl", "-sS", "-i", "-u", f"{USER}:{PASSWORD}", f"{server.url}echo.shtml")
        assert direct.stdout.count(sent) == 2, "the store does echo it"
        _, answer = proxied.curl(made, "-i", f"{server.url}echo.shtml")
    assert sent not in answer
    assert answer.count("*" * len(sent)) == 2, answer
    assert "session=1" not in answer


def test_a_refused_upload_is_not_kept_and_answered(
    proxied: Proxied, other: Account, plain_store: Apache
) -> None:
    """Of 64 MiB that a refused request sends, the proxy holds nothing."""
    with socket.create_connection(("127.0.0.1", proxied.proxy_port), 30) as sock:
        size = 64 * 1024 * 1024
        head = "PUT http://elsewhere.example/x HTTP/1.1\r\nHost: elsewhere.example\r\n"
        head += f"Content-Length: {size}\r\n"
        sock.sendall(f"{head}Proxy-Authorization: Basic {basic(other)}\r\n\r\n".encode())
        for _ in range(64):
            sock.sendall(bytes(1024 * 1024))
        assert status(received(sock)) == 403
