"""Errors of the hop between api and worker, and how a `StoreError` crosses it."""

from typing import Any

from connectors.interface import StoreError, Unavailable, errors


class WorkerUnavailable(Exception):
    """No worker took the operation; trying again in a moment makes sense."""


class BadUrl(StoreError):
    """The URL to upload from is malformed, leads where we do not go, or gives nothing."""


class BadSettings(StoreError):
    """A setting of an account is missing or wrong: the message has its name, never its value."""


class TooLarge(StoreError):
    """More bytes than this gateway takes from a URL."""


class TaskCancelled(StoreError):
    """The task was cancelled before it ended."""


class TaskLost(StoreError):
    """The task ended by a fault of the gateway, such as a worker that died."""


_OURS = (BadSettings, BadUrl, TooLarge, TaskCancelled, TaskLost)
LEAVES: dict[str, type[StoreError]] = {
    name: leaf
    for name, leaf in vars(errors).items()
    if isinstance(leaf, type) and issubclass(leaf, StoreError) and leaf is not StoreError
} | {leaf.__name__: leaf for leaf in _OURS}


def to_json(error: StoreError) -> dict[str, Any]:
    """The error as it travels: its leaf's name, message and `retry_after` in seconds."""
    return {"error": type(error).__name__, "message": error.message, "retry_after": error.retry_after}


def from_json(value: dict[str, Any]) -> StoreError:
    """The error to raise on this side; an unknown name becomes Unavailable."""
    leaf = LEAVES.get(value.get("error", ""), Unavailable)
    return leaf(str(value.get("message", "the store failed")), retry_after=value.get("retry_after"))
