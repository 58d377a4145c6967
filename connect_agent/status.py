"""What a running agent leaves word of, for `isthmus-agent status`."""

import asyncio
import json
import logging
import os
import time

from connect_agent.identity import write_private
from connect_agent.running import Agent

_log = logging.getLogger(__name__)

_WRITE_STATUS = 5.0


async def keep_status(agent: Agent) -> None:
    """Leaves word for `isthmus-agent status`: at once when something changed, else every few seconds."""
    before: object = None
    written = 0.0
    while True:
        state = [(tunnel.connected, tunnel.error) for tunnel in agent.tunnels]
        if state != before or time.monotonic() - written > _WRITE_STATUS:
            before, written = state, time.monotonic()
            errors = [tunnel.error for tunnel in agent.tunnels if tunnel.error]
            save_status(agent, running=True, note=errors[0] if errors else "")
        await asyncio.sleep(0.25)


def save_status(agent: Agent, *, running: bool, note: str) -> None:
    """Writes the file now; a disk that takes none, or is slow, costs the agent nothing."""
    tunnels = [
        {
            "url": tunnel.url,
            "connected": tunnel.connected,
            "hub": tunnel.hub,
            "since": tunnel.since,
            "error": tunnel.error,
            "streams": 0,
            **(tunnel.carrier.statistics() if tunnel.carrier is not None else {}),
        }
        for tunnel in agent.tunnels
    ]
    status = {
        "written": time.time(),
        "running": running,
        "pid": os.getpid(),
        "note": note,
        "tunnels": tunnels,
    }
    try:
        # streams wait for this: it must not wait for the disk, and is worth nothing after a power cut
        write_private(agent.settings.status_path, json.dumps(status).encode(), durable=False)
    except OSError as error:
        _log.debug("no status file: %s", error)
