"""A part of `python -m tests.fuzz_protocol`, the same cases every time."""

import pytest

from tests.fuzz_protocol import run


@pytest.mark.parametrize("seed", range(4))
def test_malformed_messages_are_refused_and_break_nothing(seed: int) -> None:
    outcome = run(25_000, seed)
    assert outcome["taken"] + outcome["refused"] == 25_000
    assert outcome["refused"] > 5_000
    assert outcome["taken"] > 1_000
