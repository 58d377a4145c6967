"""The seam between api and worker: messages, their form on the wire, errors, and the api's client."""

from gateway.operations.attempts import Attempt
from gateway.operations.client import Operations
from gateway.operations.errors import WorkerUnavailable
from gateway.operations.events import EventsView, EventView
from gateway.operations.extras import PropertyView, permission_from_json
from gateway.operations.grants import NetworkView, OriginsView
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
from gateway.operations.raw import RawAnswer
from gateway.operations.uploads import PartView, UploadView
from gateway.operations.wishes import Wishes

__all__ = [
    "ROOT",
    "AccountRef",
    "Attempt",
    "Conflict",
    "EntryView",
    "EventView",
    "EventsView",
    "NetworkView",
    "Operations",
    "OriginsView",
    "PageView",
    "ParentView",
    "PartView",
    "PropertyView",
    "RawAnswer",
    "Reading",
    "RecentView",
    "TunnelView",
    "UploadView",
    "Wishes",
    "WorkerUnavailable",
    "permission_from_json",
]
