"""HELLO to WELCOME: version, mutual proof by Ed25519, which session.

    agent                                   hub
    HELLO   versions, agent, nonce, session ->
            <- CHALLENGE version, nonce, hub's key, hub's signature
    PROOF   agent's signature, policy       ->
            <- WELCOME session, resumed, hub's name

The hub signs `isthmus hub 1` and the agent `isthmus agent 1`, each followed by SHA-256 of HELLO and of
CHALLENGE's version, nonce and key: neither can be used in the other's place, nor in another handshake.
"""

import hashlib
import json
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connect_agent.protocol.errors import PeerFault
from connect_agent.protocol.frames import HEAD, LARGEST_CONTROL, Type

VERSIONS = (1,)
SUBPROTOCOL = "isthmus.tunnel.1"
_HUB, _AGENT = b"isthmus hub 1", b"isthmus agent 1"
_HELLO = struct.Struct(">HQ32s16s")
_CHALLENGE = struct.Struct(">H32s32s64s")
_WELCOME = struct.Struct(">16sB")
NO_SESSION = bytes(16)


@dataclass(frozen=True, slots=True)
class Hello:
    """The agent presents itself; `session` is NO_SESSION, or the one to go on with."""

    version: int
    agent: int
    nonce: bytes
    session: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The hub takes the agent in; `resumed` says whether the session is the one asked for."""

    session: bytes
    resumed: bool
    hub: str


class AgentHandshake:
    """The agent's side. Every method takes or gives one whole message."""

    def __init__(
        self, agent: int, key: Ed25519PrivateKey, hub_key: bytes, nonce: bytes, session: bytes
    ) -> None:
        self._key = key
        self._hub_key = hub_key
        self._hello = _frame(Type.HELLO, _HELLO.pack(VERSIONS[-1], agent, nonce, session or NO_SESSION))

    def hello(self) -> bytes:
        """The first message."""
        return self._hello

    def prove(self, challenge: bytes, policy: str) -> bytes:
        """PROOF, once the hub has proved itself. Raises PeerFault when it is not the hub that we joined."""
        payload = _payload(challenge, Type.CHALLENGE)
        try:
            version, _, hub_key, signature = _CHALLENGE.unpack(payload)
        except struct.error:
            raise PeerFault("a CHALLENGE that can't be read") from None
        if version not in VERSIONS:
            raise PeerFault("the gateway speaks no version of the protocol that this agent speaks")
        if hub_key != self._hub_key:
            raise PeerFault("the gateway has another key than when this agent joined")
        transcript = _transcript(self._hello, payload[:-64])
        try:
            Ed25519PublicKey.from_public_bytes(hub_key).verify(signature, _HUB + transcript)
        except InvalidSignature:
            raise PeerFault("the gateway could not prove that it has its key") from None
        return _frame(Type.PROOF, self._key.sign(_AGENT + transcript) + policy.encode())

    @staticmethod
    def welcome(message: bytes) -> Welcome:
        """What the hub answered. Raises PeerFault."""
        payload = _payload(message, Type.WELCOME)
        try:
            session, resumed = _WELCOME.unpack(payload[: _WELCOME.size])
            return Welcome(session, bool(resumed), payload[_WELCOME.size :].decode())
        except (struct.error, UnicodeDecodeError):
            raise PeerFault("a WELCOME that can't be read") from None


class HubHandshake:
    """The hub's side."""

    def __init__(self, key: Ed25519PrivateKey, nonce: bytes) -> None:
        self._key = key
        self._nonce = nonce
        self._transcript = b""

    @staticmethod
    def read_hello(message: bytes) -> Hello:
        """Who wants in; nothing of it is proved yet. Raises PeerFault."""
        payload = _payload(message, Type.HELLO)
        try:
            version, agent, nonce, session = _HELLO.unpack(payload)
        except struct.error:
            raise PeerFault("a HELLO that can't be read") from None
        if version < VERSIONS[0]:
            raise PeerFault("the agent speaks no version of the protocol that this gateway speaks")
        return Hello(min(version, VERSIONS[-1]), agent, nonce, session, message)

    def challenge(self, hello: Hello) -> bytes:
        """Our proof, and the question."""
        public = self._key.public_key().public_bytes_raw()
        signed = struct.pack(">H32s32s", hello.version, self._nonce, public)
        self._transcript = _transcript(hello.message, signed)
        return _frame(Type.CHALLENGE, signed + self._key.sign(_HUB + self._transcript))

    def check(self, proof: bytes, public_key: bytes) -> list[str]:
        """The agent's policy, once it has proved that it holds its key. Raises PeerFault."""
        payload = _payload(proof, Type.PROOF)
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(payload[:64], _AGENT + self._transcript)
        except (InvalidSignature, ValueError):
            raise PeerFault("the agent could not prove that it has its key") from None
        return read_policy(payload[64:])

    @staticmethod
    def welcome(session: bytes, hub: str, *, resumed: bool) -> bytes:
        """The last message of the handshake."""
        return _frame(Type.WELCOME, _WELCOME.pack(session, resumed) + hub.encode())


def read_policy(text: bytes | str) -> list[str]:
    """An allow-list as PROOF and POLICY tell it. Raises PeerFault."""
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        raise PeerFault("a policy that is no JSON") from None
    if not isinstance(policy, list) or not all(isinstance(rule, str) for rule in policy):
        raise PeerFault("a policy that is no list of texts")
    return policy


def _frame(kind: Type, payload: bytes) -> bytes:
    return HEAD.pack(kind, 0, 0) + payload


def _payload(message: bytes, kind: Type) -> bytes:
    if not HEAD.size <= len(message) <= LARGEST_CONTROL or message[0] != kind:
        raise PeerFault(f"something else where {kind.name} was to come")
    return message[HEAD.size :]


def _transcript(hello: bytes, challenge: bytes) -> bytes:
    return hashlib.sha256(len(hello).to_bytes(4, "big") + hello + challenge).digest()
