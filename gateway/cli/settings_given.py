"""Settings as options give them: `--set key=value`."""

import sys
from pathlib import Path

from gateway.cli.output import fail


def given(pairs: list[str]) -> dict[str, str]:
    """By name; `@FILE` is a file's content, `-` standard input's. Ends the command for what is none."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            fail(f"--set takes key=value, and {key!r} has no '='")
        if value == "-":
            value = sys.stdin.read().rstrip("\n")
        elif value.startswith("@"):
            try:
                value = Path(value[1:]).read_text()
            except OSError as error:
                fail(f"--set {key}=@FILE: {error.strerror}: {value[1:]}")
        found[key] = value
    return found
