"""A data folder with an application, and commands on it within this process."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.cli.main import app


class Commands:
    """`run` tells status, output and error; `told` what a command prints that works, `data_of` its JSON."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.told("init")
        self.told("developer", "create", "me@example.com")
        self.app: str = self.data_of("app", "create", "demo", "--developer", "me@example.com")["id"]

    def run(self, *words: str, given: str | None = None) -> tuple[int, str, str]:
        """With `given` as standard input."""
        environment = {"COLUMNS": "200"}
        done = CliRunner().invoke(app, [*words, "--data", str(self.data)], input=given, env=environment)
        return done.exit_code, done.stdout, done.stderr

    def told(self, *words: str) -> str:
        status, out, err = self.run(*words)
        assert status == 0, err
        return out

    def data_of(self, *words: str) -> Any:
        return json.loads(self.told(*words, "--json"))
