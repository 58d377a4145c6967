"""`isthmus-agent`: join a gateway's network, say what it may reach, run, and explain itself."""

import asyncio
import dataclasses
import json
import logging
import platform
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from connect_agent import agent, doctor, enrolment
from connect_agent.identity import Identity, IdentityError, JoinToken, to_base64
from connect_agent.memory import keep_freed_memory
from connect_agent.policy import Policy, PolicyError
from connect_agent.settings import DEFAULT_PATH, Settings, SettingsError, choose_proxy, tls_context
from connect_agent.way import Way

app = typer.Typer(
    help="The Isthmus agent: lets a gateway reach the stores that you allow, from inside your network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", envvar="ISTHMUS_AGENT_CONFIG", help="The settings file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
REVOKED_STATUS = 3


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="What 'isthmus network invite' printed, or - to read it.")],
    config: Config = DEFAULT_PATH,
    allow: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT that may be reached; repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="This agent's name; the machine's unless given.")] = None,
    proxy: Annotated[
        str, typer.Option(help="HTTP proxy for the way out: http://[USER:PASSWORD@]HOST:PORT.")
    ] = "",
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificates to trust instead of the system's.")
    ] = None,
    pin: Annotated[str, typer.Option(help="SHA-256 of the gateway's certificate, to insist on it.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Join anew where this file has joined.")] = False,
    as_json: Json = False,
) -> None:
    """Makes this agent's key here and registers its public half with the gateway."""
    if config.exists() and config.stat().st_size and not replace:
        _fail(f"{config} has joined a network already: add --replace to join anew, or take another --config")
    try:
        read = JoinToken.parse(sys.stdin.read() if token == "-" else token, now=time.time())  # noqa: S105  # a dash
        policy = Policy.parse(allow or [])
        way = Way(choose_proxy(proxy, read.gateway), tls_context(str(ca_file or "")), pin.lower())
        identity = Identity.create()
        name = name or platform.node() or "agent"
        joined = enrolment.enrol(read, identity.public_key, name, way)
        settings = Settings(
            path=config.absolute(),
            gateway=read.gateway,
            connect=joined.connect,
            agent_id=joined.agent_id,
            network=joined.network,
            hub_public_key=to_base64(joined.hub_public_key),
            name=name,
            key_file=f"{config.stem}.key",
            allow=tuple(policy.texts()),
            proxy=proxy,
            ca_file=str(ca_file.absolute()) if ca_file else "",
            pin=pin.lower(),
        )
        identity.save(settings.key_path)
        settings.save()
    except (IdentityError, PolicyError, SettingsError, enrolment.JoinError, OSError) as error:
        _fail(str(error))
    result = {
        "agent_id": settings.agent_id,
        "network": settings.network,
        "config": str(config),
        "allow": list(settings.allow),
    }
    if as_json:
        _print_json(result)
        return
    typer.echo(f"joined network {settings.network} as agent {settings.agent_id}; settings are in {config}")
    if not settings.allow:
        typer.echo(f"nothing may be reached yet: isthmus-agent allow HOST:PORT --config {config}")
    typer.echo(f"now run: isthmus-agent run --config {config}")


@app.command(name="allow")
def allow_more(
    entries: Annotated[
        list[str], typer.Argument(help="HOST:PORT, *.DOMAIN:PORT, RANGE:PORT; PORT may be 1-9 or *.")
    ],
    config: Config = DEFAULT_PATH,
    remove: Annotated[bool, typer.Option("--remove", help="Take the entries off the list instead.")] = False,
    as_json: Json = False,
) -> None:
    """Adds to the allow-list; a running agent takes it up within two seconds."""
    settings = _load(config)
    try:
        given = Policy.parse(entries).texts()
    except PolicyError as error:
        _fail(str(error))
    if remove:
        unknown = [entry for entry in given if entry not in settings.allow]
        if unknown:
            _fail(
                f"{unknown[0]} is not on the allow-list, which has: {', '.join(settings.allow) or 'nothing'}"
            )
        now = tuple(entry for entry in settings.allow if entry not in given)
    else:
        now = tuple(dict.fromkeys((*settings.allow, *given)))
    try:
        dataclasses.replace(settings, allow=now).save()
    except SettingsError as error:
        _fail(str(error))
    if as_json:
        _print_json({"allow": list(now)})
    else:
        typer.echo("\n".join(now) or "nothing is allowed")


@app.command()
def run(
    config: Config = DEFAULT_PATH,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Keeps a tunnel to the gateway until SIGTERM, which lets running streams finish.

    Exit status 3 means that the gateway revoked this agent: starting it again does not help.
    """
    if log_level not in {"debug", "info", "warning", "error"}:
        _fail("--log-level is debug, info, warning or error")
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("websockets").setLevel(logging.WARNING)
    settings = _load(config)
    try:
        identity = Identity.load(settings.key_path)
        keep_freed_memory()
        asyncio.run(agent.run(settings, identity))
    except (IdentityError, SettingsError) as error:
        _fail(str(error))
    except agent.Revoked as error:
        _fail(str(error), status=REVOKED_STATUS)


@app.command()
def status(config: Config = DEFAULT_PATH, as_json: Json = False) -> None:
    """Says whether the agent runs, its tunnels, and its allow-list."""
    known = doctor.status(_load(config))
    if as_json:
        _print_json(known)
        return
    running = (
        "connected" if known["connected"] else "running, not connected" if known["running"] else "not running"
    )
    typer.echo(f"agent {known['agent_id']} of network {known['network']}: {running}")
    if known["note"] and not known["connected"]:
        typer.echo(f"  {known['note']}")
    for tunnel in known["tunnels"]:
        state = "connected" if tunnel["connected"] else "not connected"
        typer.echo(f"  {tunnel['url']}: {state}, {tunnel['streams']} streams")
    typer.echo(f"allows {', '.join(known['allow']) or 'nothing'}")


@app.command(name="doctor")
def examine(config: Config = DEFAULT_PATH, as_json: Json = False) -> None:
    """Checks everything between this agent and the gateway; exit status 1 when something fails."""
    findings = asyncio.run(doctor.examine(_load(config)))
    failed = any(finding.level is doctor.Level.BAD for finding in findings)
    if as_json:
        _print_json({"ok": not failed, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.level:8} {finding.check}: {finding.saw}")
            if finding.advice:
                typer.echo(f"         -> {finding.advice}")
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="What the gateway would ask for.")],
    config: Config = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """Says what the allow-list decides about a host and port, and why."""
    settings = _load(config)
    host, colon, port = target.rpartition(":")
    bare_ipv6 = ":" in host and not host.startswith("[")
    if not colon or not host or bare_ipv6 or not (port.isascii() and port.isdigit() and len(port) < 6):
        _fail(f"{target!r}: write HOST:PORT, such as files.corp.example:445, or [ADDRESS]:PORT for IPv6")
    found = asyncio.run(doctor.explain(settings, host, int(port)))
    if as_json:
        _print_json(found)
        return
    typer.echo(f"{target} is {'allowed' if found['allowed'] else 'refused'}: {found['why']}")
    for address in found["addresses"]:
        typer.echo(f"  {address['address']}: {'yes' if address['allowed'] else 'no'}, {address['why']}")


def main() -> None:
    """The command `isthmus-agent`."""
    app()


def _load(config: Path) -> Settings:
    try:
        return Settings.load(config.absolute())
    except SettingsError as error:
        _fail(str(error))


def _print_json(result: dict[str, Any]) -> None:
    typer.echo(json.dumps(result))


def _fail(message: str, *, status: int = 1) -> NoReturn:
    typer.echo(f"isthmus-agent: {message}", err=True)
    raise typer.Exit(status)
