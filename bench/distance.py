"""(e): one stream over 1 Gbit/s and a growing distance."""

from pathlib import Path

from bench import peers
from bench.content import rounds
from bench.fleet import Fleet
from bench.house import delayed, forwarded
from bench.loads import Target, download
from bench.plot import plot
from bench.report import Line, at_least, ratio_of_rates
from tests.servers.sshd import sshd

_TRIPS = (0, 20, 60, 100)
_LINK = 125e6


def stream(folder: Path, size: int, number: int, picture: Path | None = None) -> list[Line]:
    """(e) against ssh -R."""
    size = min(size, 512 * 1024 * 1024)
    files = folder / "files"
    files.mkdir()
    with (files / "big").open("wb") as file:
        file.truncate(size)
    lines, curve = [], {"Isthmus": [], "ssh -R": []}  # type: ignore[var-annotated]
    with sshd(folder / "sshd") as server:
        for trip in _TRIPS:
            with Fleet(folder) as fleet:
                store, _ = peers.nginx_static(fleet, files)
                ssh, _ = peers.ssh_reverse(fleet, server, store, delayed(fleet, server.port, trip))
                ours, _ = forwarded(fleet, store, trip)
                took = rounds(
                    {
                        "ours": lambda: download(Target(ours, "/big"), size),  # noqa: B023
                        "ssh": lambda: download(Target(ssh, "/big"), size),  # noqa: B023
                    },
                    number,
                )
            median = sorted(took["ours"])[len(took["ours"]) // 2]
            share = size / median / _LINK
            note = f"{share:.0%} of the link"
            if trip:
                note += f"; {(median - size / _LINK) / trip * 1000:.0f} round trips until it is filled"
            curve["Isthmus"].append((trip, share))
            curve["ssh -R"].append((trip, size / sorted(took["ssh"])[len(took["ssh"]) // 2] / _LINK))
            ratio = ratio_of_rates(took["ours"], took["ssh"])
            lines.append(at_least(f"one stream at {trip} ms: ssh -R", ratio, 1.0, note))
    lines.append(Line("one stream at 100 ms: the link's rate", share, ">= 0.8", share >= 0.8))
    if picture is not None:
        picture.write_text(plot(curve))
    return lines
