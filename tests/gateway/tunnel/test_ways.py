"""The agent's way out: proxies, certificates, pins; and what `doctor` says about each."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.tunnel.tunnels import ConnectProxy, Gateway, MakeAgent, certified, until

type Findings = dict[str, dict[str, str]]


def findings(out: str) -> Findings:
    return {finding["check"]: finding for finding in json.loads(out)["findings"]}


async def test_out_through_a_proxy_with_a_password(gateway: Gateway, make_agent: MakeAgent) -> None:
    """The gateway's name resolves at the proxy only, as in many a company."""
    async with ConnectProxy("user:p@ss").listening() as proxy:
        url = f"ws://gateway.test:{gateway.port}/connect"
        agent = await make_agent(connect=(url,), proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        await agent.knows_it_is_connected()
        assert proxy.served == [f"gateway.test:{gateway.port}"]
        code, out, _ = await agent.command("doctor", "--json")
        found = findings(out)
        assert code == 0, out
        assert found["proxy"]["level"] == "ok"
        assert found["agent"]["level"] == "ok"
        assert "p@ss" not in out
        assert not agent.said("p%40ss")


async def test_a_proxy_that_wants_another_password_is_named(gateway: Gateway, make_agent: MakeAgent) -> None:
    async with ConnectProxy("user:right").listening() as proxy:
        agent = await make_agent(proxy=f"http://user:wrong@127.0.0.1:{proxy.port}")
        await until(lambda: agent.said("HTTP 407"))
        code, out, _ = await agent.command("doctor", "--json")
        assert code == 1
        assert "refuses the name and password" in findings(out)["proxy"]["saw"]
        assert "wrong" not in agent.log.read_text() + out


async def tls_gateway(gateway: Gateway, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """A gateway with a certificate of a private authority: an agent's changes for it, and the fingerprint."""
    made = certified(tmp_path, "localhost")
    await gateway.stop()
    gateway.tls = made.server
    await gateway.start()
    url = f"wss://localhost:{gateway.port}/connect"
    return {"connect": (url,), "ca_file": str(made.ca_file)}, made.fingerprint


async def test_a_private_authority_is_trusted_when_it_is_named(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    changes, fingerprint = await tls_gateway(gateway, tmp_path)
    agent = await make_agent(**changes, pin=fingerprint.upper())
    await agent.knows_it_is_connected()
    code, out, _ = await agent.command("doctor", "--json")
    assert code == 0, out
    assert "TLSv1.3" in findings(out)["tls"]["saw"]


async def test_tls_inside_a_proxied_connection(
    gateway: Gateway, make_agent: MakeAgent, tmp_path: Path
) -> None:
    changes, _ = await tls_gateway(gateway, tmp_path)
    async with ConnectProxy().listening() as proxy:
        agent = await make_agent(**changes, proxy=f"http://127.0.0.1:{proxy.port}")
        await agent.knows_it_is_connected()
        code, out, _ = await agent.command("doctor", "--json")
        assert code == 0, out


@pytest.mark.parametrize(
    ("changes", "says", "advice"),
    [
        ({"ca_file": ""}, "not trusted", "ca_file"),
        ({"pin": "0" * 64}, "not the pinned one", "pin"),
        ({"host": "127.0.0.1"}, "not trusted", "ca_file"),
    ],
)
async def test_a_certificate_that_does_not_convince_is_refused(
    gateway: Gateway,
    make_agent: MakeAgent,
    tmp_path: Path,
    changes: dict[str, str],
    says: str,
    advice: str,
) -> None:
    good, _ = await tls_gateway(gateway, tmp_path)
    if host := changes.pop("host", None):
        good["connect"] = (f"wss://{host}:{gateway.port}/connect",)
    agent = await make_agent(**{**good, **changes})
    await until(lambda: agent.said(says))
    assert gateway.hub.tunnels() == []
    code, out, _ = await agent.command("doctor", "--json")
    assert code == 1
    assert findings(out)["tls"]["level"] == "failed"
    assert advice in findings(out)["tls"]["advice"]


async def test_doctor_without_a_gateway_names_the_firewall(gateway: Gateway, make_agent: MakeAgent) -> None:
    agent = await make_agent(start=False)
    await gateway.stop()
    code, out, _ = await agent.command("doctor", "--json")
    assert code == 1
    found = findings(out)
    assert found["tcp"]["level"] == "failed"
    assert "firewall" in found["tcp"]["advice"]
    assert found["allow-list"]["level"] == "warning"
    assert found["agent"]["saw"] == "not running"
    code, out, _ = await agent.command("doctor")
    assert "-> open the firewall" in out


async def test_doctor_of_a_name_that_does_not_resolve(make_agent: MakeAgent) -> None:
    agent = await make_agent(connect=("wss://gateway.invalid/connect",), start=False)
    code, out, _ = await agent.command("doctor", "--json")
    assert code == 1
    assert "does not resolve" in findings(out)["dns"]["saw"]
