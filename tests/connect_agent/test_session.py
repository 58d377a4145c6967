"""Two sessions and everything that can happen between them: hypothesis tries orders that nobody thinks of."""

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connect_agent.protocol import (
    Code,
    DataReceived,
    OpenWanted,
    PeerEnded,
    Role,
    Session,
    StreamBroken,
    StreamOpened,
    StreamRefused,
)

HUB, AGENT = 0, 1
_sides = st.sampled_from([HUB, AGENT])


def _content(stream: int, side: int, start: int, size: int) -> bytes:
    """Bytes that tell their place: one that is lost, doubled or swapped shows."""
    return bytes((stream * 31 + side * 17 + at * 7 + at // 251) % 256 for at in range(start, start + size))


class TwoSessions(RuleBasedStateMachine):
    """The model: what each side wrote, what the other got, and what it took of that."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = (Session(Role.HUB), Session(Role.AGENT))
        self.wires: tuple[deque[bytes], deque[bytes]] = (deque(), deque())  # by who sent
        self.now = 0.0
        self.wanted: set[int] = set()
        self.usable: tuple[set[int], set[int]] = (set(), set())
        self.broken: set[int] = set()
        self.written: dict[tuple[int, int], int] = {}
        self.got: dict[tuple[int, int], bytearray] = {}
        self.taken: dict[tuple[int, int], int] = {}
        self.finished: set[tuple[int, int]] = set()
        self.ends: set[tuple[int, int]] = set()
        for session in self.sessions:
            session.attach()

    @rule()
    def open(self) -> None:
        if self.sessions[HUB].streams < 6:
            self.sessions[HUB].open("files.inside", 445)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), well=st.booleans())
    def answer(self, data: st.DataObject, well: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.wanted)))
        self.wanted.discard(number)
        if well:
            self.sessions[AGENT].opened(number)
            self.usable[AGENT].add(number)
        else:
            self.sessions[AGENT].refuse(number, Code.CONNECTION_REFUSED, "refused")
            self.broken.add(number)

    @precondition(lambda self: self.usable[HUB] or self.usable[AGENT])
    @rule(data=st.data(), side=_sides, size=st.sampled_from([1, 100, 20_000, 300_000]))
    def write(self, data: st.DataObject, side: int, size: int) -> None:
        if (number := self._one(data, side)) is not None:
            start = self.written.get((side, number), 0)
            self.sessions[side].write(number, _content(number, side, start, size))
            self.written[side, number] = start + size

    @precondition(lambda self: self.usable[HUB] or self.usable[AGENT])
    @rule(data=st.data(), side=_sides)
    def finish(self, data: st.DataObject, side: int) -> None:
        if (number := self._one(data, side)) is not None:
            self.sessions[side].finish(number)
            self.finished.add((side, number))

    @precondition(lambda self: self.sessions[HUB].streams or self.sessions[AGENT].streams)
    @rule(data=st.data(), side=_sides)
    def reset(self, data: st.DataObject, side: int) -> None:
        """Also before it was opened."""
        if there := self.sessions[side].open_streams:
            number = data.draw(st.sampled_from(there))
            self.sessions[side].reset(number)
            self.broken.add(number)
            if side == AGENT:
                self.wanted.discard(number)

    @rule(side=_sides, messages=st.integers(1, 20))
    def send(self, side: int, messages: int) -> None:
        for _ in range(messages):
            if (message := self.sessions[side].next_message()) is not None:
                self.wires[side].append(message)

    @rule(side=_sides, messages=st.integers(1, 20))
    def deliver(self, side: int, messages: int) -> None:
        """What `side` sent arrives."""
        for _ in range(min(messages, len(self.wires[side]))):
            self._arrive(side, self.wires[side].popleft())

    @rule(side=_sides, rate=st.sampled_from([1e5, 1e7, 1e9]))
    def measure(self, side: int, rate: float) -> None:
        self.sessions[side].set_rate(rate)
        self.sessions[side].ping(self.now)

    @rule(side=_sides)
    def take(self, side: int) -> None:
        """The local end at `side` takes all that came."""
        for (sender, number), content in self.got.items():
            key = (sender, number)
            if sender != side and (new := len(content) - self.taken.get(key, 0)):
                self.taken[key] = len(content)
                self.now += 0.001
                self.sessions[side].consumed(number, new, self.now)

    @rule()
    def cut(self) -> None:
        """The websocket breaks; what was on its way is gone, and a new one comes."""
        for side in (HUB, AGENT):
            self.wires[side].clear()
            self.sessions[side].attach()

    @invariant()
    def everything_that_came_was_written(self) -> None:
        for key, content in self.got.items():
            assert len(content) <= self.written.get(key, 0)

    def teardown(self) -> None:
        """With nothing in the way, everything arrives, and both ends know of the same streams."""
        for number in sorted(self.wanted):
            self.sessions[AGENT].opened(number)
        self.wanted.clear()
        for _ in range(2000):
            self.now += 0.01
            for side in (HUB, AGENT):
                self.send(side, 50)
                self.deliver(side, 50)
                self.take(1 - side)
            for number in sorted(self.wanted):
                self.sessions[AGENT].opened(number)
            self.wanted.clear()
            if not any(self.wires) and self._quiet():
                break
        else:
            raise AssertionError("the sessions never come to rest")
        for (side, number), size in self.written.items():
            if number not in self.broken:
                assert len(self.got.get((side, number), b"")) == size
        assert {key for key in self.finished if key[1] not in self.broken} <= self.ends
        assert sorted(self.sessions[HUB].open_streams) == sorted(self.sessions[AGENT].open_streams)

    def _quiet(self) -> bool:
        for side in (HUB, AGENT):
            if (message := self.sessions[side].next_message()) is not None:
                self.wires[side].append(message)
        return not any(self.wires)

    def _one(self, data: st.DataObject, side: int) -> int | None:
        able = {n for n in self.usable[side] if (side, n) not in self.finished} - self.broken
        return data.draw(st.sampled_from(sorted(able))) if able else None

    def _arrive(self, sender: int, message: bytes) -> None:
        receiver = 1 - sender
        for event in self.sessions[receiver].receive(message, self.now):
            self._happened(sender, receiver, event)

    def _happened(self, sender: int, receiver: int, event: Any) -> None:
        match event:
            case DataReceived(number, data):
                got = self.got.setdefault((sender, number), bytearray())
                assert bytes(data) == _content(number, sender, len(got), len(data))
                assert (sender, number) not in self.ends
                got += data
            case PeerEnded(number):
                assert (sender, number) not in self.ends
                self.ends.add((sender, number))
            case OpenWanted(number):
                assert receiver == AGENT
                self.wanted.add(number)
            case StreamOpened(number):
                assert receiver == HUB
                assert number not in self.usable[HUB]
                self.usable[HUB].add(number)
            case StreamRefused(number):
                assert number in self.broken
            case StreamBroken(number):
                assert number in self.broken
                self.wanted.discard(number)


TestTwoSessions = TwoSessions.TestCase
TestTwoSessions.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
