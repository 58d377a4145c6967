"""An answer's head goes out with its body."""

import asyncio

from gateway.api.together import Together


class Written:
    """A double of a transport: what is written, call by call."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, ...] | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append((data,))

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.calls.append(pieces)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.calls.append("closed")


async def test_a_head_goes_out_with_its_body() -> None:
    transport = Written()
    together = Together(transport)
    together.write(b"head")
    assert transport.calls == []
    together.write(b"body")
    together.write(b"more")
    assert transport.calls == [(b"head", b"body"), (b"more",)]
    await asyncio.sleep(0)
    assert len(transport.calls) == 2


async def test_a_head_that_nothing_follows_waits_for_one_round() -> None:
    transport = Written()
    together = Together(transport)
    together.write(b"head")
    await asyncio.sleep(0)
    assert transport.calls == [(b"head",)]
    together.write(b"body")
    assert transport.calls[1:] == [(b"body",)]


async def test_closing_sends_what_is_kept_first() -> None:
    transport = Written()
    together = Together(transport)
    together.write(b"head")
    together.close()
    assert transport.calls == [(b"head",), "closed"]
