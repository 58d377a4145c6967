"""`isthmus init`, `serve`, `db` and `keys`."""

import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway import settings as gateway_settings
from gateway import supervisor
from gateway.cli.output import Data, Json, fail, run, show
from gateway.proxy.authority import rotation
from gateway.settings import Settings
from store import envelope, migrate
from store.engine import open_database
from store.envelope import keyfiles
from store.queries import settings as sealed_settings

db = typer.Typer(help="The state's database.", no_args_is_help=True)
keys = typer.Typer(help="The key files.", no_args_is_help=True)


def init(data: Data = None, as_json: Json = False) -> None:
    """Makes keys, database and settings file. Safe to run again: what is there stays."""
    settings = gateway_settings.load(data)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o750)
    keyfiles.create_pair(settings.keys)
    _make_hub_key(settings.keys)
    rotation.create(settings.keys)
    migrate.upgrade(settings.database_url)
    run(_make_id_secret(settings))
    file = settings.data / "isthmus.toml"
    if not file.exists():
        file.touch(mode=0o660)  # less the umask: a database's password may come to stand in it
        file.write_text("# Settings of this gateway; `isthmus config show` lists them all.\n")
    show({"data": str(settings.data), "database": _without_password(settings.database_url)}, as_json)


def serve(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP API.")] = None,
    tunnel_port: Annotated[
        int | None, typer.Option(help="A port for agents alone; they may use /connect on the API's too.")
    ] = None,
    proxy_port: Annotated[
        int | None, typer.Option(help="Port of the native proxy, which is not started without one.")
    ] = None,
) -> None:
    """Starts the gateway's processes. SIGTERM drains: running transfers may finish."""
    settings = gateway_settings.load(
        data, host=host, port=port, tunnel_port=tunnel_port, proxy_port=proxy_port
    )
    if not (settings.keys / "unsealing.key.pem").exists():
        fail(f"{settings.data} has no keys yet: run 'isthmus init --data {settings.data}' first")
    typer.echo(f"Isthmus API     http://{settings.host}:{settings.port}/v1")
    typer.echo(f"agents connect  ws://{settings.host}:{settings.tunnel_port or settings.port}/connect")
    if settings.proxy_port is not None:
        _require_proxy(settings)
        typer.echo(f"native proxy    http://{settings.host}:{settings.proxy_port}")
    raise typer.Exit(supervisor.serve(settings))


@db.command("upgrade")
def upgrade(data: Data = None, as_json: Json = False) -> None:
    """Brings the database to this version's tables."""
    settings = gateway_settings.load(data)
    migrate.upgrade(settings.database_url)
    show({"revision": migrate.current(settings.database_url)}, as_json)


@keys.command("protect")
def protect(
    worker_user: Annotated[str, typer.Option(help="Unix user of the worker.")],
    api_user: Annotated[str, typer.Option(help="Unix user of the api.")],
    proxy_user: Annotated[str | None, typer.Option(help="Unix user of the native proxy.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Lets only the worker's user read the private key, by POSIX ACLs; and the proxy's its authority's."""
    settings = gateway_settings.load(data)
    try:
        keyfiles.protect(keyfiles.KeyPaths.in_directory(settings.keys), worker_user, api_user)
        if proxy_user is not None:
            for key in rotation.key_files(settings.keys):
                keyfiles.protect_for(key, proxy_user)
    except OSError as error:
        fail(str(error))
    show({"keys": str(settings.keys), "private_readable_by": worker_user}, as_json)


def _require_proxy(settings: Settings) -> None:
    if find_spec("mitmproxy") is None:
        fail("the native proxy needs mitmproxy: pip install 'isthmus[gateway,proxy]' brings it")
    if not rotation.key_files(settings.keys):
        fail(f"the proxy has no certificate authority yet: run 'isthmus init --data {settings.data}'")


def _make_hub_key(folder: Path) -> None:
    private = folder / "hub.key"
    if private.exists():
        return
    key = Ed25519PrivateKey.generate()
    (folder / "hub.pub").write_bytes(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def _make_id_secret(settings: Settings) -> None:
    public = envelope.SealingKey.load(settings.keys / "sealing.pub.pem")
    database = open_database(settings.database_url)
    try:
        async with database.session() as session:
            sealed = envelope.seal(
                secrets.token_bytes(32), envelope.Context("settings", "ids", "sealed"), public
            )
            await sealed_settings.put_once(session, "ids", sealed)
    finally:
        await database.aclose()


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
