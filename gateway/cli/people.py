"""`isthmus developer` and `isthmus app`: who owns, and the programs that call."""

import getpass
import sys
from typing import Annotated, Literal

import typer

from gateway.access import passwords, tokens
from gateway.cli.output import Data, Json, fail, run, show, show_rows
from gateway.cli.state import opened
from store import envelope
from store.errors import Duplicate
from store.queries import applications, audit, developers

developer = typer.Typer(help="Developers: who owns applications.", no_args_is_help=True)
app = typer.Typer(help="Applications: the programs that call the API.", no_args_is_help=True)


@developer.command("create")
def create_developer(
    email: str,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Creates a developer; prints the Meta token, which is kept sealed."""
    if "@" not in email:
        fail(f"{email!r} is no e-mail address")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    if password is None and sys.stdin.isatty() and not as_json:
        password = getpass.getpass("Password (empty: none, the token alone): ") or None

    async def work() -> dict[str, object]:
        async with opened(data) as state, state.database.session() as session:
            token = tokens.make()
            digest = tokens.digest(token)
            context = envelope.Context("developer_keys", digest.hex(), "sealed")
            try:
                made = await developers.create(
                    session,
                    email,
                    passwords.hashed(password) if password else None,
                    key_digest=digest,
                    key_sealed=envelope.seal(token.encode(), context, state.sealing),
                )
            except Duplicate:
                fail(f"there is a developer {email} already")
            await audit.append(session, "cli", "developer.create", str(made.id), {})
            return {"id": made.id, "email": made.email, "meta_token": token}

    show(run(work()), as_json)


@app.command("create")
def create_app(
    name: str,
    developer: Annotated[str, typer.Option(help="E-mail of the developer that owns it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Creates an application; prints its first API key."""

    async def work() -> dict[str, object]:
        async with opened(data) as state, state.database.session() as session:
            owner = await developers.by_email(session, developer)
            if owner is None:
                fail(f"there is no developer {developer}: run 'isthmus developer create {developer}' first")
            made = await applications.create(session, owner.id, name)
            key = tokens.make()
            digest = tokens.digest(key)
            context = envelope.Context("api_keys", digest.hex(), "sealed")
            await applications.add_key(
                session, made.id, digest, envelope.seal(key.encode(), context, state.sealing)
            )
            await audit.append(session, "cli", "application.create", made.id, {})
            return {"id": made.id, "name": made.name, "api_key": key}

    show(run(work()), as_json)


@app.command("list")
def list_apps(data: Data = None, as_json: Json = False) -> None:
    """Every application with its ID and its developer."""

    async def work() -> list[dict[str, object]]:
        async with opened(data) as state, state.database.session() as session:
            return [
                {"id": found.id, "name": found.name, "developer": email}
                for found, email in await applications.every(session)
            ]

    show_rows("applications", run(work()), as_json)


@app.command("events")
def switch_events(
    app: str,
    state: Annotated[Literal["on", "off"] | None, typer.Argument(help="Left out: how it is.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Collects events of an application's accounts, or no longer: what its stores held is forgotten then."""

    async def work() -> dict[str, object]:
        async with opened(data) as state_, state_.database.session() as session:
            found = await applications.fetch(session, app)
            if found is None:
                fail(f"there is no application {app}: 'isthmus app list' shows them")
            if state is not None:
                found.events_enabled = state == "on"
                told = {"events_enabled": found.events_enabled}
                await audit.append(session, "cli", "application.change", found.id, told)
            return {"id": found.id, "name": found.name, "events_enabled": found.events_enabled}

    show(run(work()), as_json)
