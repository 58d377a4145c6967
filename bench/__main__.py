"""The command: `python -m bench [a b c d e f g h i j] [--size MIB] [--rounds N] [--out FILE]`."""

import argparse
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import content, distance, memory, proxy, small
from bench.report import Line

if TYPE_CHECKING:
    from collections.abc import Callable

TITLES = {
    "a": "Whole files over WebDAV, through api and worker",
    "b": "Whole files through the tunnel",
    "c": "Small requests through a tunnel",
    "d": "Memory under 64 downloads",
    "e": "One stream over a distance",
    "f": "Whole files over SFTP",
    "g": "Small requests to the API",
    "h": "Whole files through the native proxy",
    "i": "Small requests and idle clients through the native proxy",
    "j": "Memory of the native proxy under 32 transfers",
}
_HEAD = """# Benchmarks

Written by `make bench` (`python -m bench`). Each line compares with a peer in the same run, on the
same machine, in turns; medians of {rounds} rounds after one that does not count, files of {size} MiB.
A ratio is ours to the peer's. Machines are noisy: run it on yours.

Machine: {cores} cores, Linux {kernel}, Python {python}. Servers, clients and both sides of a comparison share
these cores.
"""
_TABLE = "| ours to the peer's | ratio | target | | note |\n|---|---|---|---|---|\n"


def main() -> None:
    """Runs what was asked for and prints it; with all of them, `--out` is written."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*TITLES, []], help="which ones; all unless given")
    parser.add_argument("--size", type=int, default=1024, help="MiB of a whole file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the page here")
    given = parser.parse_args()
    picture = given.out.with_name("benchmarks-distance.svg") if given.out else None

    def over_a_distance(folder: Path, size: int, number: int) -> list[Line]:
        return distance.stream(folder, size, number, picture)

    benches: dict[str, Callable[[Path, int, int], list[Line]]] = {
        "a": content.gateway,
        "b": content.tunnel,
        "c": small.tunnel,
        "d": memory.downloads,
        "e": over_a_distance,
        "f": content.sftp,
        "g": small.requests,
        "h": proxy.files,
        "i": proxy.requests,
        "j": proxy.memory,
    }
    page = _HEAD.format(
        rounds=given.rounds,
        size=given.size,
        cores=os.cpu_count(),
        kernel=platform.release().split("-")[0],
        python=platform.python_version(),
    )
    # a folder in memory where there is one: disks are not what is measured
    home = "/dev/shm" if Path("/dev/shm").is_dir() else None
    for name in given.names or TITLES:
        with tempfile.TemporaryDirectory(prefix="isthmus-bench-", dir=home) as folder:
            Path(folder).chmod(0o755)
            lines = benches[name](Path(folder), given.size * 2**20, given.rounds)
        part = (
            f"\n## ({name}) {TITLES[name]}\n\n" + _TABLE + "\n".join(line.markdown() for line in lines) + "\n"
        )
        if name == "e" and picture is not None:
            part += f"\n![Share of a 1 Gbit/s link over the round trip]({picture.name})\n"
        print(part, flush=True)
        page += part
    if given.out:
        given.out.write_text(page)


if __name__ == "__main__":
    main()
