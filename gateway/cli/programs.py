"""`isthmus exec`: runs a program that reaches an account's store through the proxy, with no secret of it.

The program gets a token made for this run, which ends with it. With `--gateway` this needs nothing but the
light install: token and authority come over the API, asked for with ISTHMUS_TOKEN (the account's access
token) or ISTHMUS_API_KEY, which the program does not get.
"""

import json
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from gateway.cli import authorities, node, placeholders

_HOURS = 12.0  # the longest that the token of a run works that was killed before it could revoke it
_NOT_FOUND, _NOT_EXECUTABLE, _BY_SIGNAL = 127, 126, 128  # exit statuses, as shells give them
_PROXY = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
_MORE_AUTHORITIES = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")  # trusted beside the program's own list
_ALL_AUTHORITIES = (  # in place of its own list
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("PIP_CERT", "CARGO_HTTP_CAINFO", "RCLONE_CA_CERT", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"),
)
_TAKEN_AWAY = (
    *("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"),
    *("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "ISTHMUS_TOKEN", "ISTHMUS_API_KEY"),
)


_LONGEST_REFUSAL = 64 * 1024
_ADVICE = {
    401: ": look at ISTHMUS_TOKEN, or ISTHMUS_API_KEY",
    404: ": --account has to be the ID of an account of that token, or of that key's application",
}


@dataclass(frozen=True)
class Lent:
    """What one run is lent: the proxy with the token in it, the authority, keys, and how to give it back."""

    proxy: str
    ca: str
    keys: Mapping[str, str]
    revoke: Callable[[], None]


def exec_(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, behind --.")],
    account: Annotated[int, typer.Option(help="The account's ID ('isthmus account list').")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Only methods that change nothing.")] = False,
    gateway: Annotated[
        str | None, typer.Option(help="URL of a gateway elsewhere; its token is in ISTHMUS_TOKEN.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="ISTHMUS_DATA", help="The data folder of a gateway here.")
    ] = None,
) -> None:
    """Runs a program that reaches the account's store through the proxy; its exit status is kept."""
    lent = _from_there(gateway, account, read_only) if gateway else _from_here(data, account, read_only)
    try:
        with tempfile.TemporaryDirectory(prefix="isthmus-ca-") as folder:
            ours, every = Path(folder, "proxy.pem"), Path(folder, "all.pem")
            ours.write_text(lent.ca)
            every.write_text(authorities.with_machines(lent.ca))
            status = _run(command, environment(_here(), lent, str(ours), str(every)))
    finally:
        lent.revoke()
    raise typer.Exit(status)


def environment(given: Mapping[str, str], lent: Lent, ours: str, every: str) -> dict[str, str]:
    """The environment of the program: what it had, less what would lead it past the proxy, and the proxy.

    Args:
        given: what it had.
        lent: the proxy's URL, with the token, and the keys that go with it.
        ours: the file with the proxy's authority.
        every: the file with that and the machine's.
    """
    kept = {name: value for name, value in given.items() if name not in _TAKEN_AWAY}
    trusted = {**dict.fromkeys(_MORE_AUTHORITIES, ours), **dict.fromkeys(_ALL_AUTHORITIES, every)}
    theirs = node.environment(placeholders.environment(kept))
    return {**theirs, **dict.fromkeys(_PROXY, lent.proxy), **trusted, **lent.keys}


def _run(command: list[str], env: dict[str, str]) -> int:
    """The program's exit status; 128 and the signal's number when one ended it. Who ends us ends it."""
    running: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        if running is not None:
            running.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the program as well
    try:
        running = subprocess.Popen(command, env=env)  # noqa: S603  what the user asked for, without a shell
    except FileNotFoundError:
        typer.echo(f"isthmus: {command[0]}: not found", err=True)
        return _NOT_FOUND
    except PermissionError:
        typer.echo(f"isthmus: {command[0]}: not executable", err=True)
        return _NOT_EXECUTABLE
    for early in asked:  # while it was being started
        running.send_signal(early)
    status = running.wait()
    return status if status >= 0 else _BY_SIGNAL - status


def _from_here(data: Path | None, account: int, read_only: bool) -> Lent:
    """Token and authority from the data folder of a gateway on this machine."""
    try:
        from gateway.access.scopes import Scope
        from gateway.cli.output import run
        from gateway.cli.proxy import end, issue
        from gateway.cli.state import opened
    except ModuleNotFoundError:
        _fail("this machine has the light install, and no gateway: say where one is, by --gateway URL")

    async def lend() -> tuple[dict[str, Any], str, str]:
        async with opened(data) as state:
            settings = state.settings
            try:
                port, ca = settings.proxy_place.read_text(), settings.proxy_ca.read_text()
            except OSError:
                _fail("no proxy runs here: start the gateway with 'isthmus serve --proxy-port PORT'")
            host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  compared
            made = await issue(state, account, Scope(read_only=read_only), hours=_HOURS, name="exec")
            return made, settings.proxy_url or f"http://{host}:{port}", ca

    async def give_back() -> None:
        async with opened(data) as state:
            await end(state, made["id"])

    made, url, ca = run(lend())
    return Lent(_with_token(url, account, made["token"]), ca, _keys(made), lambda: run(give_back()))


def _from_there(gateway: str, account: int, read_only: bool) -> Lent:
    """Token and authority over the API of a gateway elsewhere."""
    base = f"{gateway.rstrip('/').removesuffix('/v1')}/v1/accounts/{account}/proxy_tokens"
    expires = datetime.now(UTC) + timedelta(hours=_HOURS)
    made = _ask("POST", base, {"name": "exec", "read_only": read_only, "expires": expires.isoformat()})

    def revoke() -> None:
        _ask("DELETE", f"{base}/{made['id']}")

    if made["proxy"] is None:
        revoke()
        _fail("that gateway runs no proxy: it is started by 'isthmus serve --proxy-port PORT'")
    url = made["proxy"]["url"] or f"http://{urlsplit(gateway).hostname}:{made['proxy']['port']}"
    return Lent(_with_token(url, account, made["token"]), made["proxy"]["ca"], _keys(made), revoke)


def _keys(made: Mapping[str, Any]) -> dict[str, str]:
    """AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: keys of the token, which open nothing."""
    return {f"AWS_{name.upper()}": value for name, value in made["aws"].items()}


def _ask(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        _fail("--gateway takes a URL that begins with http:// or https://")
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Authorization": _authorization()}, method=method)  # noqa: S310  checked
    asked.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310  checked
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        _fail(_refusal(url, error))
    except OSError as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        _fail(f"the gateway {_origin(url)} can't be reached: {getattr(why, 'strerror', None) or why}")


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    """The API's own words; what answers otherwise is not a gateway's API."""
    try:
        said = str(json.loads(error.read(_LONGEST_REFUSAL))["message"])
    except (ValueError, KeyError, TypeError):
        return (
            f"{_origin(url)} answered {error.code}, and not as a gateway's API: is it the right URL and port?"
        )
    return f"the gateway answered {error.code}: {said}{_ADVICE.get(error.code, '')}"


def _origin(url: str) -> str:
    """Scheme, host and port, without a name and a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _authorization() -> str:
    given = _here()
    if token := given.get("ISTHMUS_TOKEN"):
        return f"Bearer {token}"
    if key := given.get("ISTHMUS_API_KEY"):
        return f"APIKey {key}"
    return _fail(
        "set ISTHMUS_TOKEN to the account's access token, or ISTHMUS_API_KEY to the application's key"
    )


def _here() -> Mapping[str, str]:
    import os

    return os.environ  # noqa: TID251  handed on to the program, as a shell does


def _with_token(url: str, account: int, token: str) -> str:
    scheme, _, place = url.partition("://")
    return f"{scheme}://{account}:{token}@{place}"


def _fail(message: str) -> NoReturn:
    typer.echo(f"isthmus: {message}", err=True)
    raise typer.Exit(1)


def main() -> None:
    """`isthmus exec` alone, for machines with the light install."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("exec", context_settings=CONTEXT)(exec_)
    app.callback()(lambda: None)
    app()


CONTEXT = {"allow_interspersed_args": False}
"""From the program's name on nothing is an option of ours."""
