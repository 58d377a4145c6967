"""The example on the protocol's page is what the code says."""

import re
from pathlib import Path

from connect_agent.protocol.frames import Credit, Data, Fin, Frame, Open, Opened, Resume, Row, decode, encode

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
FRAMES: list[Frame] = [
    Open(1, "nas", 445),
    Opened(1),
    Data(1, b"abc"),
    Credit(1, 3, 262_144),
    Fin(1),
    Resume(1, (Row(1, True, 3, 3, 262_144),)),
]


def test_the_pages_example_is_what_both_ends_say() -> None:
    example = PAGE.read_text().split("## Example")[1].split("```")[1]
    lines = [bytes.fromhex(line) for line in re.findall(r"^[0-9a-f ]+$", example, re.MULTILINE)]
    assert lines == [encode(frame) for frame in FRAMES]
    assert [decode(line) for line in lines] == FRAMES
