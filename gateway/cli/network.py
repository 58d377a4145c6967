"""`isthmus network` and `isthmus agent`: private networks and our processes in them."""

import base64
import hashlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import orjson
import typer

from gateway.access import authorities, tokens
from gateway.cli.output import Data, Json, fail, run, show, show_rows
from gateway.cli.state import State, opened
from gateway.operations import TunnelView, WorkerUnavailable
from gateway.settings import Settings
from store.errors import Duplicate
from store.queries import audit, networks

_HERE_ALONE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")  # noqa: S104  compared
network = typer.Typer(help="Private networks that agents open.", no_args_is_help=True)
agent = typer.Typer(help="Agents in private networks.", no_args_is_help=True)


@network.command("create")
def create(name: str, data: Data = None, as_json: Json = False) -> None:
    """Creates a network; then invite an agent into it."""

    async def work() -> dict[str, object]:
        async with opened(data) as state, state.database.session() as session:
            try:
                made = await networks.create(session, name)
            except Duplicate:
                fail(f"there is a network {name} already")
            await audit.append(session, "cli", "network.create", str(made.id), {"name": name})
            return {"id": made.id, "name": made.name}

    show(run(work()), as_json)


@network.command("invite")
def invite(
    name: str,
    hours: Annotated[float, typer.Option(min=0.01, help="How long the token can be used.")] = 24.0,
    url: Annotated[str | None, typer.Option(help="The gateway's URL as the agent reaches it.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Prints a one-time token for 'isthmus-agent join'."""

    async def work() -> dict[str, object]:
        async with opened(data) as state, state.database.session() as session:
            found = await networks.by_name(session, name)
            if found is None:
                fail(f"there is no network {name}: run 'isthmus network create {name}' first")
            expires = datetime.now(UTC) + timedelta(hours=hours)
            secret = tokens.make()
            await networks.add_enrolment(session, found.id, tokens.digest(secret), expires)
            await audit.append(session, "cli", "network.invite", str(found.id), {})
            gateway = url or _public(state.settings)
            _warn_of(gateway)
            return {
                "token": _token(state, gateway, name, secret, expires),
                "gateway": gateway,
                "expires": expires.isoformat().replace("+00:00", "Z"),
            }

    show(run(work()), as_json)


@network.command("trust")
def trust(
    name: str,
    ca: Annotated[Path | None, typer.Option(help="A file with PEM certificates of authorities.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Trust whom the gateway's machine trusts.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Sets, or shows, whom the network's stores are checked with; an account's own 'ca' goes before it."""
    if ca is not None and clear:
        fail("--ca and --clear exclude each other")

    async def work() -> list[dict[str, object]]:
        async with opened(data) as state, state.database.session() as session:
            found = await networks.by_name(session, name)
            if found is None:
                fail(f"there is no network {name}: run 'isthmus network create {name}' first")
            trusted = found.authorities
            if ca is not None or clear:
                trusted = None if ca is None else _authorities(ca)
                await networks.trust(session, found.id, trusted)
                listed = [one.fingerprint for one in authorities.described(trusted)] if trusted else []
                await audit.append(session, "cli", "network.trust", str(found.id), {"fingerprints": listed})
            return [asdict(one) for one in authorities.described(trusted)] if trusted else []

    show_rows("authorities", run(work()), as_json)


def _authorities(file: Path) -> str:
    try:
        return authorities.checked(file.read_text())
    except OSError as error:
        fail(f"--ca {file}: {error.strerror}")
    except ValueError as error:  # BadAuthorities, or bytes that are no text
        fail(f"--ca {file}: {error}")


@network.command("list")
def list_networks(data: Data = None, as_json: Json = False) -> None:
    """Every network with its agents."""
    _print_networks(data, as_json)


@network.command("status")
def status(data: Data = None, as_json: Json = False) -> None:
    """Every network with its agents and their live tunnels."""
    _print_networks(data, as_json)


@agent.command("revoke")
def revoke(agent_id: int, data: Data = None, as_json: Json = False) -> None:
    """Ends an agent's right to connect; its tunnels drop at once when the gateway runs."""

    async def work() -> dict[str, object]:
        async with opened(data) as state:
            async with state.database.session() as session:
                if not await networks.revoke_agent(session, agent_id):
                    fail(f"there is no agent {agent_id} that could be revoked")
                await audit.append(session, "cli", "agent.revoke", str(agent_id), {})
            try:
                await state.operations.drop_agent(agent_id)
            except WorkerUnavailable:
                return {"id": agent_id, "revoked": True, "tunnels": "the gateway is not running"}
            return {"id": agent_id, "revoked": True, "tunnels": "dropped"}

    show(run(work()), as_json)


def _public(settings: Settings) -> str:
    """The gateway's URL as others are told it."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _warn_of(gateway: str) -> None:
    """Says so where an agent on another machine can't reach this URL."""
    place = urlsplit(gateway)
    if place.scheme not in ("http", "https") or not place.hostname:
        fail(f"{gateway!r} is no URL such as https://gateway.example")
    if place.hostname in _HERE_ALONE:
        typer.echo(
            f"isthmus: the token says that the gateway is {gateway}, which only this machine reaches. "
            "For an agent elsewhere give --url https://GATEWAY, or set public_url in isthmus.toml",
            err=True,
        )


def _token(state: State, gateway: str, name: str, secret: str, expires: datetime) -> str:
    """The token's text: what the agent must know to find this gateway and to recognise it."""
    public = (state.settings.keys / "hub.pub").read_bytes()
    fields = {
        "g": gateway,
        "n": name,
        "s": secret,
        "f": hashlib.sha256(public).hexdigest(),
        "e": int(expires.timestamp()),
    }
    return "isthmus1." + base64.urlsafe_b64encode(orjson.dumps(fields)).rstrip(b"=").decode()


def _print_networks(data: Data, as_json: bool) -> None:
    async def work() -> list[dict[str, object]]:
        async with opened(data) as state:
            live = await _live(state)
            async with state.database.session() as session:
                return [
                    {
                        "id": found.id,
                        "name": found.name,
                        "agents": [
                            {
                                "id": member.id,
                                "name": member.name,
                                "revoked": member.revoked,
                                **_tunnel(live.get(member.id)),
                            }
                            for member in await networks.agents_of(session, found.id)
                        ],
                    }
                    for found in await networks.every(session)
                ]

    show_rows("networks", run(work()), as_json)


async def _live(state: State) -> dict[int, TunnelView]:
    try:
        return {tunnel.agent_id: tunnel for tunnel in await state.operations.tunnels()}
    except WorkerUnavailable:
        return {}


def _tunnel(tunnel: TunnelView | None) -> dict[str, object]:
    if tunnel is None:
        return {"connected": False}
    return {
        "connected": tunnel.connected,
        "streams": tunnel.streams,
        "bytes_in": tunnel.bytes_in,
        "bytes_out": tunnel.bytes_out,
        "resumes": tunnel.resumes,
        "allows": tunnel.policy,
    }
