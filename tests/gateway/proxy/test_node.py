"""Programs of Node.js: by a module that `isthmus exec` has them load, and by what newer ones do themselves.

SDKs, and clients of all kinds, are in `behind_a_firewall/test_node_sdks.py`.
"""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from gateway.cli import node
from tests.gateway.proxy.proxied import ENVIRONMENT, ROOT, Account, Proxied
from tests.servers.apache import Apache

pytestmark = [pytest.mark.server, pytest.mark.journey]

PROGRAMS = ROOT / "tests/programs"
NODE_24 = PROGRAMS / "node_modules/.bin/node"
NODES = pytest.mark.parametrize("program", ["node", NODE_24], ids=["on the path", "24"])
READ = "await fetch(process.argv[1])"
GET = """
const [module, url] = process.argv.slice(1);
const asked = require(module).get(url, (answer) => answer.pipe(process.stdout));
asked.on("error", (error) => console.error(error.message));
"""
OWN_SERVER = """
const server = require("http").createServer((_, answer) => answer.end("own"));
server.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  console.log(await (await fetch(url)).text());
  require("http").get(url, (answer) => answer.pipe(process.stdout).on("unpipe", () => server.close()));
});
"""
CHILD_AND_THREAD = """
const url = JSON.stringify(process.argv[1]);
const get = `require("https").get(${url}, (answer) => answer.pipe(process.stdout))`;
require("child_process").execFileSync(process.execPath, ["-e", get], { stdio: "inherit" });
new (require("worker_threads").Worker)(get, { eval: true });
"""


def led(
    proxied: Proxied, account: Account, *command: str | Path, scheme: str = "http"
) -> "subprocess.CompletedProcess[str]":
    """The command with the module and the account's access token, without `isthmus exec`."""
    proxy = proxied.url(account).replace("http", scheme, 1)
    given = {"HTTPS_PROXY": proxy, "NODE_EXTRA_CA_CERTS": str(proxied.ca)}
    return proxied.run(*map(str, command), env=node.environment(given))


@NODES
def test_fetch_streams_a_file_both_ways(
    proxied: Proxied, account: Account, store: Apache, program: str | Path
) -> None:
    content = os.urandom(1024 * 1024) * 32
    (store.data / "from").write_bytes(content)
    to = f"to-{Path(program).parent.name}"
    done = proxied.exec(account, program, PROGRAMS / "fetch.mjs", f"{store.url}from", f"{store.url}{to}")
    assert (done.stdout, done.returncode) == ("201\n", 0), done.stderr
    copied = (store.data / to).read_bytes()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(content).digest()


def test_another_host_is_refused(proxied: Proxied, account: Account, plain_store: Apache) -> None:
    done = proxied.exec(account, NODE_24, "--input-type=module", "-e", READ, plain_store.url)
    assert "(403)" in done.stderr
    assert done.returncode == 1


def test_the_module_says_why_another_host_is_refused(
    proxied: Proxied, account: Account, plain_store: Apache
) -> None:
    done = led(proxied, account, "node", "-e", GET, "http", plain_store.url)
    place = plain_store.url.removeprefix("http://").rstrip("/")
    assert done.stderr == (
        f"{place} through the proxy: 403 isthmus proxy: {place} is not a host of account {account.id}\n"
    )


def test_options_of_the_programs_user_stay(proxied: Proxied, account: Account, tmp_path: Path) -> None:
    (tmp_path / "own.cjs").write_text("process.stdout.write('own ');")
    env = {"NODE_OPTIONS": f"--require={tmp_path}/own.cjs --max-old-space-size=300"}
    done = proxied.exec(account, "node", "-p", "process.env.NODE_OPTIONS", env=env)
    assert done.stdout.startswith("own "), done.stderr
    assert done.stdout.endswith(f" {env['NODE_OPTIONS']}\n")


def test_the_modules_folder_may_have_any_name(tmp_path: Path) -> None:
    module = tmp_path / 'a "folder" \\ of ümlauts' / "module.cjs"
    module.parent.mkdir()
    module.write_text("process.stdout.write('loaded');")
    environment = node.environment(ENVIRONMENT, module)
    done = subprocess.run(["node", "-e", "0"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "loaded"


def test_a_child_and_a_thread_of_the_program_go_that_way_too(
    proxied: Proxied, account: Account, store: Apache
) -> None:
    (store.data / "n.txt").write_text("node;")
    done = led(proxied, account, "node", "-e", CHILD_AND_THREAD, f"{store.url}n.txt")
    assert done.stdout == "node;node;", done.stderr


def test_hosts_of_no_proxy_are_asked_directly(proxied: Proxied, account: Account) -> None:
    done = proxied.exec(account, "env", "NO_PROXY=elsewhere,127.0.0.1", "node", "-e", OWN_SERVER)
    assert done.stdout == "own\nown", done.stderr
    refused = led(proxied, account, "node", "-e", OWN_SERVER)
    assert "403" in refused.stderr


@NODES
def test_a_proxy_may_be_spoken_to_by_tls(
    proxied: Proxied, account: Account, store: Apache, program: str | Path
) -> None:
    (store.data / "t.txt").write_text("tls")
    fetching = "fetch(process.argv[1]).then((answer) => answer.text()).then(console.log)"
    for words in ((fetching,), (GET, "https")):
        read = led(proxied, account, program, "-e", *words, f"{store.url}t.txt", scheme="https")
        assert (read.stdout.rstrip(), read.returncode) == ("tls", 0), read.stderr
