"""Look-ups that are remembered, attempts that are counted, passwords that are hashed."""

import asyncio

import pytest

from gateway.access import Attempts, passwords, tokens
from gateway.access.remembered import Remembered


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Answers that count how often they were asked for."""

    def __init__(self, value: str | None = "answer") -> None:
        self.value = value
        self.times = 0

    async def __call__(self) -> str | None:
        self.times += 1
        await asyncio.sleep(0)
        return self.value


@pytest.mark.parametrize("value", ["answer", None])
async def test_an_answer_is_kept_for_its_time(value: str | None) -> None:
    clock, asked = Clock(), Asked(value)
    memory: Remembered[str, str] = Remembered(1.0, 10, clock)
    assert [await memory.find("a", asked) for _ in range(3)] == [value] * 3
    clock.now += 0.99
    await memory.find("a", asked)
    assert asked.times == 1
    clock.now += 0.01
    await memory.find("a", asked)
    assert asked.times == 2


async def test_a_burst_asks_once() -> None:
    asked = Asked()
    memory: Remembered[str, str] = Remembered(1.0, 10, Clock())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(memory.find("a", asked))
    assert asked.times == 1


async def test_a_slow_answer_is_as_old_as_its_question() -> None:
    clock = Clock()
    memory: Remembered[str, str] = Remembered(1.0, 10, clock)

    async def slow() -> str:
        clock.now += 5
        return "old"

    asked = Asked()
    await memory.find("a", slow)
    assert await memory.find("a", asked) == "answer"


async def test_a_question_that_fails_is_asked_again() -> None:
    memory: Remembered[str, str] = Remembered(1.0, 10, Clock())

    async def fails() -> str:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await memory.find("a", fails)
    assert await memory.find("a", Asked()) == "answer"


async def test_memory_is_bounded_and_forgets_when_told() -> None:
    memory: Remembered[int, str] = Remembered(1.0, 10, Clock())
    asked = Asked()
    for number in range(35):
        await memory.find(number, asked)
    assert len(memory) <= 10
    memory.forget()
    assert len(memory) == 0


def test_failures_are_counted_by_address_and_window() -> None:
    clock = Clock()
    attempts = Attempts(3, 60.0, clock)
    for _ in range(3):
        assert attempts.wait("a") is None
        attempts.failed("a")
    assert attempts.wait("a") == 60.0
    assert attempts.wait("b") is None
    clock.now += 59
    assert attempts.wait("a") == 1.0
    clock.now += 1
    assert attempts.wait("a") is None
    attempts.failed("a")
    assert attempts.wait("a") is None


def test_passwords() -> None:
    stored = passwords.hashed("correct horse")
    assert stored.startswith("$argon2id$")
    assert passwords.matches("correct horse", stored)
    assert not passwords.matches("wrong", stored)
    assert not passwords.matches("wrong", "no hash at all")


def test_tokens_are_long_random_and_known_by_their_digest() -> None:
    made = {tokens.make() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) >= 43 for token in made)
    assert len({tokens.digest(token) for token in made}) == 100
