"""The seam between api and worker: messages, their form on the wire, errors, and the api's client."""

from gateway.operations.client import Operations
from gateway.operations.errors import WorkerUnavailable
from gateway.operations.messages import (
    ROOT,
    AccountRef,
    Conflict,
    EntryView,
    PageView,
    ParentView,
    Reading,
    RecentView,
    TunnelView,
)
from gateway.operations.wishes import Wishes

__all__ = [
    "ROOT",
    "AccountRef",
    "Conflict",
    "EntryView",
    "Operations",
    "PageView",
    "ParentView",
    "Reading",
    "RecentView",
    "TunnelView",
    "Wishes",
    "WorkerUnavailable",
]
