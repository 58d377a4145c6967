"""What `isthmus` calls: the command, or one line that says what this machine lacks for it."""

import sys

_INTERRUPTED = 130  # as shells give it


def main() -> None:
    """The entry of `isthmus`. On an install of the agent alone it ends with how to get the rest."""
    try:
        _main()
    except KeyboardInterrupt:  # while modules are still being loaded; a running command has its own way
        sys.exit(_INTERRUPTED)


def _main() -> None:
    if sys.argv[1:2] == ["mcp"]:  # a client of a gateway elsewhere: it must not need one's libraries
        from gateway.cli.mcp import alone

        alone()
        return
    try:
        from gateway.cli.main import main as run
    except ModuleNotFoundError as error:
        if sys.argv[1:2] == ["exec"]:
            from gateway.cli.programs import main as run_program

            run_program()
            return
        raise SystemExit(
            f"isthmus: {error.name} is not installed, this machine has the agent alone: "
            "pip install 'isthmus[gateway]' brings the gateway"
        ) from None
    run()
