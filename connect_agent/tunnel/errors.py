"""How a tunnel ends.

Refusal         the agent did not connect, and said why
TunnelLost      the websocket broke; the session lives on
SessionEnded    the session is over, and with it every stream
"""

from connect_agent.protocol import Code


class TunnelLost(Exception):
    """The websocket broke, or the peer was silent; the session lives on."""


class SessionEnded(Exception):
    """The session is over, and with it every stream."""


class Refusal(Exception):
    """The agent did not connect; `text` may be shown to anyone."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
