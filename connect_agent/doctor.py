"""`status`, `explain` and `doctor`: what the agent knows about itself, each finding with what to do."""

import asyncio
import email.utils
import json
import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from connect_agent.identity import Identity, IdentityError, fingerprint
from connect_agent.policy import Address, literal_address
from connect_agent.protocol import SUBPROTOCOL
from connect_agent.settings import Proxy, Settings, SettingsError

_TIMEOUT = 10.0
_CLOCK_SLACK = 120.0
_STALE_STATUS = 30.0


class Level(StrEnum):
    """How a check went."""

    GOOD = "ok"
    WARNING = "warning"
    BAD = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw and, unless it is good, what to do about it."""

    check: str
    level: Level
    saw: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """All checks, in the order in which a connection needs them to pass."""
    findings = [_key(settings), _allow_list(settings)]
    for url in settings.connect:
        findings += await _way_to(settings, url)
    findings.append(_running(settings))
    return findings


async def explain(settings: Settings, host: str, port: int) -> dict[str, Any]:
    """What the allow-list decides about a host and port, for each address that the host has here."""
    policy = settings.policy()
    asked = policy.may_resolve(host, port)
    decisions: list[dict[str, Any]] = []
    if asked.allowed:
        try:
            found = await _resolve(host, port)
        except OSError as error:
            return _explained(host, port, False, f"{host} does not resolve: {error.strerror or error}", [])
        decisions = [{"address": str(a), **asdict(policy.may_dial(host, port, a))} for a in found]
        allowed = any(decision["allowed"] for decision in decisions)
        chosen = next((d for d in decisions if d["allowed"] == allowed), None)
        return _explained(host, port, allowed, chosen["why"] if chosen else asked.why, decisions)
    return _explained(host, port, False, asked.why, decisions)


def status(settings: Settings, *, now: float | None = None) -> dict[str, Any]:
    """What the running agent last wrote about itself; `running` is False when it wrote nothing lately."""
    try:
        written = json.loads(settings.status_path.read_text(encoding="utf-8"))
        age = (time.time() if now is None else now) - float(written["written"])
        written = dict(written)
    except (OSError, ValueError, KeyError, TypeError):
        written, age = {}, float("inf")
    running = bool(written.get("running")) and age < _STALE_STATUS
    tunnels = written.get("tunnels", []) if running else []
    return {
        "agent_id": settings.agent_id,
        "name": settings.name,
        "network": settings.network,
        "gateway": settings.gateway,
        "running": running,
        "connected": any(tunnel.get("connected") for tunnel in tunnels),
        "tunnels": tunnels,
        "allow": list(settings.allow),
        "note": written.get("note", "") if age < float("inf") else "the agent has not run yet",
    }


def _explained(
    host: str, port: int, allowed: bool, why: str, addresses: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"host": host, "port": port, "allowed": allowed, "why": why, "addresses": addresses}


def _key(settings: Settings) -> Finding:
    try:
        identity = Identity.load(settings.key_path)
    except IdentityError as error:
        return Finding("key", Level.BAD, str(error), "the message says what to do")
    return Finding("key", Level.GOOD, f"public key fingerprint {fingerprint(identity.public_key)[:16]}")


def _allow_list(settings: Settings) -> Finding:
    if not settings.allow:
        return Finding(
            "allow-list",
            Level.WARNING,
            "empty: every store is refused",
            f"isthmus-agent allow HOST:PORT --config {settings.path}",
        )
    return Finding("allow-list", Level.GOOD, ", ".join(settings.allow))


def _running(settings: Settings) -> Finding:
    known = status(settings)
    if known["connected"]:
        return Finding("agent", Level.GOOD, "running and connected")
    if known["running"]:
        return Finding(
            "agent", Level.BAD, known["note"] or "running, not connected", "see the failures above"
        )
    return Finding(
        "agent", Level.WARNING, "not running", f"start it: isthmus-agent run --config {settings.path}"
    )


async def _way_to(settings: Settings, url: str) -> list[Finding]:
    """DNS, TCP or proxy, TLS, HTTP, clock and latency on the way to one hub; stops where it is blocked."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    findings: list[Finding] = []
    try:
        proxy = settings.proxy_for(url)
        context = settings.tls() if secure else None
    except SettingsError as error:
        return [Finding("settings", Level.BAD, str(error), f"correct it in {settings.path}")]
    first = (proxy.host, proxy.port) if proxy else (host, port)
    dns = await _dns(first[0], first[1], proxied=proxy is not None)
    findings.append(dns)
    if dns.level is Level.BAD:
        return findings
    try:
        async with _connected(findings, first, (host, port), proxy) as (reader, writer):
            if context is not None:
                await _tls(findings, writer, context, host, settings.pin)
            else:
                findings.append(
                    Finding(
                        "tls",
                        Level.WARNING,
                        "not used: the gateway's URL is http",
                        "use https for anything but a test on one machine",
                    )
                )
            await _http(findings, reader, writer, parts.path or "/", parts.netloc.rpartition("@")[2])
    except _Stop:
        pass
    return findings


class _Stop(Exception):
    """The way is blocked here; further checks would only repeat it."""


async def _dns(host: str, port: int, *, proxied: bool) -> Finding:
    what = "the proxy" if proxied else "the gateway"
    started = time.monotonic()
    try:
        async with asyncio.timeout(_TIMEOUT):
            found = await _resolve(host, port)
    except (OSError, UnicodeError) as error:
        return Finding(
            "dns",
            Level.BAD,
            f"{what}'s name {host} does not resolve: {getattr(error, 'strerror', None) or 'no answer'}",
            "check the name and this machine's DNS servers"
            + ("" if proxied else "; where only a proxy resolves outside names, set 'proxy'"),
        )
    took = time.monotonic() - started
    return Finding("dns", Level.GOOD, f"{host} is {', '.join(map(str, found))} ({took * 1000:.0f} ms)")


@asynccontextmanager
async def _connected(
    findings: list[Finding], first: tuple[str, int], target: tuple[str, int], proxy: Proxy | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Streams to the hub, through the proxy when there is one. Raises _Stop after a bad finding."""
    check = "proxy" if proxy else "tcp"
    started = time.monotonic()
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(*first)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        advice = f"open the firewall from here to {first[0]} port {first[1]}, outbound, TCP"
        if not proxy:
            advice += ", or set 'proxy' if this network goes out through one"
        findings.append(Finding(check, Level.BAD, f"{first[0]}:{first[1]}: {why}", advice))
        raise _Stop from error
    took = (time.monotonic() - started) * 1000
    try:
        if proxy is None:
            findings.append(Finding("tcp", Level.GOOD, f"{first[0]}:{first[1]} ({took:.0f} ms)"))
        else:
            findings.append(await _through(proxy, target, reader, writer))
            if findings[-1].level is Level.BAD:
                raise _Stop
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError, asyncio.TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()


async def _through(
    proxy: Proxy, target: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Finding:
    host = f"[{target[0]}]" if ":" in target[0] else target[0]
    head = f"CONNECT {host}:{target[1]} HTTP/1.1\r\nHost: {host}:{target[1]}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in proxy.authorization.items())
    try:
        async with asyncio.timeout(_TIMEOUT):
            writer.write(f"{head}\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
        line = answer.partition(b"\r\n")[0].decode("latin-1")
        code = int(line.split()[1])
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
        return Finding(
            "proxy", Level.BAD, f"{proxy.shown} does not answer like an HTTP proxy", "check 'proxy'"
        )
    if code == 407:
        given = "refuses the name and password" if proxy.username is not None else "wants a name and password"
        return Finding(
            "proxy", Level.BAD, f"{proxy.shown} {given}", 'set proxy = "http://USER:PASSWORD@HOST:PORT"'
        )
    if not 200 <= code < 300:
        return Finding(
            "proxy",
            Level.BAD,
            f"{proxy.shown} answers '{line}'",
            f"have the proxy allow CONNECT to {host}:{target[1]}",
        )
    return Finding("proxy", Level.GOOD, f"{proxy.shown} lets us through to {host}:{target[1]}")


async def _tls(
    findings: list[Finding], writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str, pin: str
) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            await writer.start_tls(context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        findings.append(
            Finding(
                "tls",
                Level.BAD,
                f"the certificate is not trusted: {error.verify_message}",
                "if a proxy here inspects TLS, or the gateway has a private CA, put that CA's certificate "
                "into a file and set 'ca_file'; if it says 'not yet valid' or 'expired', check the clock",
            )
        )
        raise _Stop from error
    except (OSError, asyncio.IncompleteReadError) as error:
        findings.append(
            Finding("tls", Level.BAD, "the far side does not speak TLS", "check the URL's scheme and port")
        )
        raise _Stop from error
    secured = writer.get_extra_info("ssl_object")
    der = secured.getpeercert(binary_form=True)
    if pin and fingerprint(der) != pin.lower():
        findings.append(
            Finding(
                "tls",
                Level.BAD,
                f"the certificate's SHA-256 is {fingerprint(der)}, not the pinned one",
                "if the gateway's certificate was renewed, set 'pin' to this; if not, someone is between",
            )
        )
        raise _Stop
    left = ssl.cert_time_to_seconds(secured.getpeercert()["notAfter"]) - time.time()
    soon = left < 7 * 86400
    findings.append(
        Finding(
            "tls",
            Level.WARNING if soon else Level.GOOD,
            f"{secured.version()}, certificate valid for {left / 86400:.0f} days",
            "have the gateway's certificate renewed" if soon else "",
        )
    )


async def _http(
    findings: list[Finding], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, host: str
) -> None:
    """Asks for a websocket, as the agent would; what comes back tells latency and the gateway's clock too."""
    started = time.monotonic()
    wanted = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
    )
    try:
        async with asyncio.timeout(_TIMEOUT):
            writer.write(wanted.encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        advice = "something between here and the gateway cuts the line"
        findings.append(Finding("websocket", Level.BAD, "no HTTP answer", advice))
        return
    took = time.monotonic() - started
    line = answer.partition("\r\n")[0]
    if line.split()[1:2] == ["101"]:
        findings.append(Finding("websocket", Level.GOOD, "the gateway takes websockets"))
    else:
        advice = "let the reverse proxy in front pass /connect, with websocket upgrades, to the gateway"
        findings.append(Finding("websocket", Level.BAD, f"the gateway answers '{line}'", advice))
    slow = took > 1
    findings.append(
        Finding(
            "latency",
            Level.WARNING if slow else Level.GOOD,
            f"{took * 1000:.0f} ms for one round trip",
            "look for a slow proxy or a saturated line" if slow else "",
        )
    )
    dates = [v.strip() for k, _, v in (h.partition(":") for h in answer.split("\r\n")) if k.lower() == "date"]
    findings.append(_clock(dates[0] if dates else ""))


def _clock(date: str) -> Finding:
    try:
        theirs = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return Finding("clock", Level.SKIPPED, "the gateway's answer has no date")
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    off = (datetime.now(UTC) - theirs).total_seconds()
    if abs(off) <= _CLOCK_SLACK:
        return Finding("clock", Level.GOOD, f"within {max(abs(off), 1):.0f} s of the gateway's")
    way = "ahead of" if off > 0 else "behind"
    return Finding(
        "clock",
        Level.WARNING,
        f"{abs(off):.0f} s {way} the gateway's",
        "set the time (timedatectl set-ntp true): certificates and join tokens depend on it",
    )


async def _resolve(host: str, port: int) -> list[Address]:
    literal = literal_address(host)
    if literal is not None:
        return [literal]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
