"""The `isthmus` command, as a list of its nouns."""

import resource
from typing import Annotated

import typer

from gateway import settings as gateway_settings
from gateway import supervisor
from gateway.cli import (
    account,
    audit,
    config,
    connectors,
    demo,
    events,
    mcp,
    network,
    people,
    programs,
    proxy,
    proxy_metrics,
    setup,
)
from store.errors import Away

app = typer.Typer(
    help="One HTTP API over every file store, including the ones behind a firewall.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(setup.init)
app.command("serve")(setup.serve)
app.command("demo")(demo.demo)
app.command("mcp")(mcp.mcp)
app.add_typer(setup.db, name="db")
app.add_typer(setup.keys, name="keys")
app.add_typer(people.developer, name="developer")
app.add_typer(people.app, name="app")
app.add_typer(account.account, name="account")
app.add_typer(connectors.connectors, name="connectors")
app.add_typer(connectors.connectors, name="connector", hidden=True)
app.add_typer(network.network, name="network")
app.add_typer(network.agent, name="agent")
proxy.proxy.command("metrics")(proxy_metrics.metrics)
proxy.proxy.command("top")(proxy_metrics.top)
app.add_typer(proxy.proxy, name="proxy")
app.command("exec", context_settings=programs.CONTEXT)(programs.exec_)
app.add_typer(config.config, name="config")
app.add_typer(audit.audit, name="audit")
app.add_typer(events.events, name="events")


@app.command("process", hidden=True)
def process(
    role: str,
    with_parent: Annotated[bool, typer.Option(help="End when standard input does.")] = False,
    number: Annotated[int, typer.Option(help="Which of several of its role it is, from 1.")] = 1,
    listening: Annotated[
        list[int] | None, typer.Option(help="Descriptor of a socket to listen on; else it makes its own.")
    ] = None,
    board: Annotated[
        int | None, typer.Option(help="Descriptor of the memory that all api processes share.")
    ] = None,
) -> None:
    """One of `serve`'s processes, its settings in the environment. Each imports only what it may know."""
    # a core has what the process held: keys, credentials, content
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if with_parent:
        supervisor.end_with_parent()
    settings = gateway_settings.load()
    if role == "worker":
        from gateway.worker import main as worker

        worker.main(settings)
    elif role == "proxy":
        from gateway.proxy import main as native_proxy

        native_proxy.main(settings, number, listening or ())
    else:
        from gateway.api import process as api

        api.main(settings, number, listening or (), board)


def main() -> None:
    """The entry of `isthmus`; a wrong setting, or a database that is away, ends a command with what to do."""
    try:
        app()
    except (gateway_settings.BadSetting, Away) as error:
        raise SystemExit(f"isthmus: {error}") from None


if __name__ == "__main__":
    main()
