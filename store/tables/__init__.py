"""Declarations of the tables, an area a module; no query lives here."""

from store.tables.accounts import AccessToken, Account, Renewal, Task
from store.tables.audit import Audit, SealedSetting
from store.tables.base import Base, Moment, now
from store.tables.developers import ApiKey, Application, Developer, DeveloperKey
from store.tables.entries import Link, OfEntry, Property, entry_digest, raw_bytes
from store.tables.events import CHANGED, GONE, KNOWN, NEW, Event, Feed, Tracked
from store.tables.networks import Agent, Enrolment, Network
from store.tables.proxies import ProxyToken
from store.tables.uploads import Upload, UploadPart

__all__ = [
    "CHANGED",
    "GONE",
    "KNOWN",
    "NEW",
    "AccessToken",
    "Account",
    "Agent",
    "ApiKey",
    "Application",
    "Audit",
    "Base",
    "Developer",
    "DeveloperKey",
    "Enrolment",
    "Event",
    "Feed",
    "Link",
    "Moment",
    "Network",
    "OfEntry",
    "Property",
    "ProxyToken",
    "Renewal",
    "SealedSetting",
    "Task",
    "Tracked",
    "Upload",
    "UploadPart",
    "entry_digest",
    "now",
    "raw_bytes",
]
