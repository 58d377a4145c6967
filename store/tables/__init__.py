"""Declarations of the tables, an area a module; no query lives here."""

from store.tables.accounts import AccessToken, Account, Task
from store.tables.audit import Audit, SealedSetting
from store.tables.base import Base, Moment, now
from store.tables.developers import ApiKey, Application, Developer, DeveloperKey
from store.tables.networks import Agent, Enrolment, Network

__all__ = [
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
    "Moment",
    "Network",
    "SealedSetting",
    "Task",
    "now",
]
