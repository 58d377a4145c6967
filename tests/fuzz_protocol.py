"""Malformed messages against both ends of the protocol: `python -m tests.fuzz_protocol --cases 1000000`.

Each case is a message of a real conversation with bytes flipped, cut, doubled or made up. An end may take
it or raise PeerFault; anything else is a bug, and the case is printed.
"""

import argparse
import os
import random
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connect_agent.protocol import NO_SESSION, AgentHandshake, Code, HubHandshake, PeerFault, Role, Session
from connect_agent.protocol.frames import HEAD

_EVERY = 500  # cases after which ends begin afresh although nothing was wrong with them
_HANDSHAKES = 0.02  # of the cases: signatures take time


class Case(Exception):
    """A message that did harm."""


def conversation(role: Role) -> tuple[Session, list[bytes]]:
    """An end in the middle of its work, and every kind of message that it may get."""
    hub, agent = Session(Role.HUB), Session(Role.AGENT)
    for session in (hub, agent):
        session.attach()
    sent: dict[Role, list[bytes]] = {Role.HUB: [], Role.AGENT: []}

    def talk() -> None:
        for one, other, who in ((hub, agent, Role.HUB), (agent, hub, Role.AGENT)) * 2:
            while (message := one.next_message()) is not None:
                sent[who].append(message)
                other.receive(message, 0.0)

    numbers = [hub.open("files.inside", 445) for _ in range(4)]
    talk()
    for number in numbers[:3]:
        agent.opened(number)
    agent.refuse(numbers[3], Code.CONNECTION_REFUSED, "refused")
    talk()
    for session in (hub, agent):
        session.write(numbers[0], bytes(1000))
        session.write(numbers[1], bytes(70_000))
        session.ping(0.0)
    agent.tell_policy('["files.inside:445"]')
    hub.drain()
    talk()
    for session in (hub, agent):
        session.consumed(numbers[1], 70_000, 1.0)
        session.finish(numbers[0])
    hub.reset(numbers[2])
    talk()
    for session in (hub, agent):
        session.attach()
    talk()
    return (hub, sent[Role.AGENT]) if role is Role.HUB else (agent, sent[Role.HUB])


def mutated(message: bytes, chance: random.Random) -> bytes:
    """The message with one to four things wrong."""
    changed = bytearray(message[:2000])
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = chance.choice((0, 1, 2, 3, 4, 127, 128, 254, 255))
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = chance.randbytes(chance.randint(1, 30))
            case 4:
                changed[at:at] = changed[: chance.randint(0, 60)]
            case _:
                changed = bytearray([chance.randint(0, 20), 0]) + chance.randbytes(chance.randint(0, 40))
    return bytes(changed)


def run(cases: int, seed: int) -> dict[str, int]:
    """How many were taken and how many refused. Raises Case for the first that did something else."""
    chance = random.Random(seed)
    key, agent_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    outcome = {"taken": 0, "refused": 0}
    ends: dict[Role, tuple[Session, list[bytes]]] = {}
    for number in range(cases):
        role = chance.choice((Role.HUB, Role.AGENT))
        if role not in ends or not number % _EVERY:
            ends[role] = conversation(role)
        session, messages = ends[role]
        try:
            if chance.random() < _HANDSHAKES:
                message = mutated(*_shaken(chance, key, agent_key))
            else:
                message = mutated(chance.choice(messages), chance)
                session.receive(message, 2.0)
                while session.next_message() is not None:
                    pass
            outcome["taken"] += 1
        except PeerFault:
            outcome["refused"] += 1
            ends.pop(role, None)
        except Exception as error:
            raise Case(f"case {number} of seed {seed} at {role}: {message.hex()}") from error
    return outcome


def _shaken(
    chance: random.Random, key: Ed25519PrivateKey, agent_key: Ed25519PrivateKey
) -> tuple[bytes, random.Random]:
    """Feeds one broken message to each step of a handshake; gives back what a session is to get then."""
    public = key.public_key().public_bytes_raw()
    agent, hub = (
        AgentHandshake(7, agent_key, public, os.urandom(32), NO_SESSION),
        HubHandshake(key, bytes(32)),
    )
    agent_public = agent_key.public_key().public_bytes_raw()
    hello = agent.hello()
    challenge = hub.challenge(hub.read_hello(hello))
    proof = agent.prove(challenge, "[]")
    welcome = hub.welcome(bytes(16), "hub", resumed=False)
    steps = (  # a message, who gets it, and its bytes that a signature covers
        (hello, hub.read_hello, slice(0)),
        (challenge, lambda broken: agent.prove(broken, "[]"), slice(HEAD.size, None)),
        (proof, lambda broken: hub.check(broken, agent_public), slice(HEAD.size, HEAD.size + 64)),
        (welcome, agent.welcome, slice(0)),
    )
    for message, step, signed in steps:
        broken = mutated(message, chance)
        try:
            step(broken)
        except PeerFault:
            continue
        if broken[signed] != message[signed]:
            raise AssertionError(f"a changed message passed for a proof: {broken.hex()}")
    return hello, chance


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    words = parser.parse_args()
    print(f"seed {words.seed}: {words.cases} cases, {run(words.cases, words.seed)}")


if __name__ == "__main__":
    main()
