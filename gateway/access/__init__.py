"""Who is asking, and what they may: callers, their keys and tokens, passwords, limits on attempts."""

from gateway.access.attempts import Attempts, neighbours
from gateway.access.callers import Caller, Callers, NotYours, Refused, TokenFacts

__all__ = ["Attempts", "Caller", "Callers", "NotYours", "Refused", "TokenFacts", "neighbours"]
