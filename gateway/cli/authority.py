"""`isthmus proxy ca`: the native proxy's certificate authorities, printed, shown and rotated."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import typer

from connectors.interface import StoreError
from gateway import settings as gateway_settings
from gateway.cli.output import Data, Json, fail, run, show
from gateway.cli.state import opened
from gateway.operations import AccountRef, WorkerUnavailable
from gateway.proxy.authority import rotation
from gateway.proxy.authority.ca import Authority
from gateway.proxy.authority.leaves import WARN_BEFORE
from gateway.proxy.authority.rotation import NotNow, State
from gateway.settings import Settings
from store.queries import accounts

authority = typer.Typer(help="The certificate authority that the proxy's clients trust.")

_TRUST = """To trust it:
  Debian, Ubuntu   sudo cp {file} /usr/local/share/ca-certificates/isthmus.crt && sudo update-ca-certificates
  Fedora, RHEL     sudo cp {file} /etc/pki/ca-trust/source/anchors/isthmus.pem && sudo update-ca-trust
  macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}
  Windows          certutil -addstore -f ROOT {file}
  Firefox          Settings, Certificates, View Certificates, Authorities, Import
  one program      SSL_CERT_FILE={file} REQUESTS_CA_BUNDLE={file} CURL_CA_BUNDLE={file}
                   NODE_EXTRA_CA_CERTS={file} AWS_CA_BUNDLE={file}
                   GIT_SSL_CAINFO={file}; 'isthmus exec' sets them all"""


@authority.callback(invoke_without_command=True)
def ca(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Prints the certificates that the proxy's clients trust, and how to trust them."""
    if context.invoked_subcommand is not None:
        return
    settings = gateway_settings.load(data)
    try:
        pem = settings.proxy_ca.read_text()
    except OSError:
        _fail_without(settings)
    if as_json:
        show({"file": str(settings.proxy_ca), "certificate": pem}, as_json)
        return
    typer.echo(pem, nl=False)
    typer.echo(_TRUST.format(file=settings.proxy_ca), err=True)


@authority.command("status")
def status(data: Data = None, as_json: Json = False) -> None:
    """Every authority that clients are given: which signs, until when, for which hosts."""
    settings = gateway_settings.load(data)
    _show(_stepped(settings, lambda: rotation.state(settings.keys, _overlap(settings))), as_json)


@authority.command("rotate")
def rotate(
    finish: Annotated[bool, typer.Option("--finish", help="The next authority signs from now on.")] = False,
    for_accounts: Annotated[
        bool, typer.Option("--for-accounts", help="Constrain the next one to the hosts of all accounts.")
    ] = False,
    host: Annotated[
        list[str] | None, typer.Option(help="Constrain it to this host and those below it; or an address.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="In place of a next one that is there.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Makes the next authority beside the present one; both are given out. Then --finish, then retire."""
    settings = gateway_settings.load(data)
    overlap = _overlap(settings)
    if finish:
        if for_accounts or host or again:
            fail("--finish goes alone")
        _show(_stepped(settings, lambda: rotation.finish(settings.keys, overlap)), as_json)
        return
    hosts, left_out = _accounts_hosts(data) if for_accounts else ([], [])
    wanted = [*hosts, *(host or ())] if for_accounts or host else None
    if wanted == []:
        fail("no account has a host with TLS that the proxy serves: name hosts by --host, or add accounts")
    made = _stepped(settings, lambda: rotation.rotate(settings.keys, overlap, wanted, again=again))
    for why in left_out:
        typer.echo(f"isthmus: left out: {why}", err=True)
    _show(made, as_json)


@authority.command("retire")
def retire(data: Data = None, as_json: Json = False) -> None:
    """Old authorities, which sign no more, are not given out any longer."""
    settings = gateway_settings.load(data)
    _show(_stepped(settings, lambda: rotation.retire(settings.keys, _overlap(settings))), as_json)


def _overlap(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.proxy_ca_overlap)


def _stepped(settings: Settings, step: Callable[[], State]) -> State:
    if not settings.proxy_ca.exists():
        _fail_without(settings)
    try:
        return step()
    except (NotNow, OSError, ValueError) as error:
        fail(str(error))


def _fail_without(settings: Settings) -> NoReturn:
    fail(f"{settings.data} has no authority yet: run 'isthmus init --data {settings.data}' first")


def _accounts_hosts(data: Data) -> tuple[Sequence[str], Sequence[str]]:
    """The hosts of every account's places with TLS, and why which accounts have no part in it."""

    async def work() -> tuple[Sequence[str], Sequence[str]]:
        hosts: list[str] = []
        left_out: list[str] = []
        async with opened(data) as state:
            async with state.database.session() as session:
                found = [(row.id, row.revision) for row in await accounts.usable(session)]
            for number, revision in found:
                try:
                    view = await state.operations.grants.origins(AccountRef(number, revision))
                except WorkerUnavailable:
                    fail("the gateway says which hosts accounts have: start it with 'isthmus serve'")
                except StoreError as error:
                    left_out.append(f"account {number}: {error.message}")
                else:
                    hosts += [origin.host for origin in view.origins if origin.scheme == "https"]
        return hosts, left_out

    return run(work())


def _show(found: State, as_json: bool) -> None:
    shown = [_shown(found.signs, "signs")]
    if found.next is not None:
        shown.append({**_shown(found.next, "next"), "signs_from": _written(found.switches)})
    shown += [_shown(one, "old") for one in found.old]
    warnings = _warnings(found)
    if as_json:
        show({"authorities": shown, "warnings": warnings}, as_json)
        return
    for one in shown:
        show(one, as_json)
        typer.echo()
    for warning in warnings:
        typer.echo(f"isthmus: {warning}", err=True)


def _shown(one: Authority, state: str) -> dict[str, Any]:
    return {
        "state": state,
        "fingerprint": one.fingerprint,
        "made": _written(one.made),
        "expires": _written(one.expires),
        "hosts": "any" if one.hosts is None else list(one.hosts),
    }


def _warnings(found: State) -> list[str]:
    left = found.signs.expires - datetime.now(UTC)
    if left >= WARN_BEFORE:
        return []
    return [f"the authority that signs ends in {left.days} days: run 'isthmus proxy ca rotate'"]


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
