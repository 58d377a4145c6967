"""Events of accounts: the feed that clients read, and what crawls compare a store with."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Moment

KNOWN, NEW, CHANGED, GONE = range(4)
"""States of a tracked entry: as the events say, or seen otherwise by a crawl and not told of yet."""


class Feed(Base):
    """An account's events as a sequence, and how far its crawls are. The row outlives its events.

    Attributes:
        head: the last event's sequence number; numbers have no gaps and are never given twice.
        purged: the last one that is not kept any more.
        applied: the last one up to which `tracked` follows what the gateway itself did.
        numbered: the last number that an entry of `tracked` got.
        generation: of the crawl; whoever holds an older one has lost its turn.
        baseline: whether a crawl was ever whole: only then a difference is an event.
        due: when the next crawl begins; None while none is wanted.
        leased: until when a worker crawls.
        failures: crawls that failed since the last whole one, with the last one's `error` for people.
        crawled: when the last whole one ended, after so many `entries`.
    """

    __tablename__ = "event_feeds"
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    head: Mapped[int] = mapped_column(BigInteger, default=0)
    purged: Mapped[int] = mapped_column(BigInteger, default=0)
    applied: Mapped[int] = mapped_column(BigInteger, default=0)
    numbered: Mapped[int] = mapped_column(BigInteger, default=0)
    generation: Mapped[int] = mapped_column(default=0)
    baseline: Mapped[bool] = mapped_column(default=False)
    due: Mapped[datetime | None] = mapped_column(Moment, index=True)
    leased: Mapped[datetime | None] = mapped_column(Moment)
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    crawled: Mapped[datetime | None] = mapped_column(Moment)
    entries: Mapped[int] = mapped_column(BigInteger, default=0)


class Event(Base):
    """One change. `entry` and `previous` are JSON, the file or folder as it is and as it was.

    `ours` where the gateway made the change: then `actor` and `ip` say for whom. `at` never goes back as
    `sequence` goes on, as far as the machines' clocks don't.
    """

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_account_id", "account_id", "at"),)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(8))
    at: Mapped[datetime] = mapped_column(Moment)
    ours: Mapped[bool]
    actor: Mapped[str | None] = mapped_column(String(255))
    ip: Mapped[str | None] = mapped_column(String(64))
    entry: Mapped[str] = mapped_column(Text)
    previous: Mapped[str | None] = mapped_column(Text)


class Tracked(Base):
    """A file or folder of an account, as a crawl saw it last. Names are bytes: they need not be text.

    Attributes:
        number: dense within the account, so that a crawl remembers what it saw in one bit each.
        entry: `entry_digest` of kind and raw id.
        parent: the parent folder's raw id, and `folder` its digest: by it a folder's content is found.
        version: digest of what tells a file's version; None where nothing tells it for sure.
        previous: JSON, the entry as the events tell it, while `state` is CHANGED.
    """

    __tablename__ = "tracked"
    __table_args__ = (
        UniqueConstraint("account_id", "entry"),
        Index("ix_tracked_folder", "account_id", "folder", "kind"),
        Index("ix_tracked_version", "account_id", "version"),
        Index("ix_tracked_state", "account_id", "state", "number"),
    )
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(8))
    entry: Mapped[bytes] = mapped_column(LargeBinary(32))
    raw_id: Mapped[bytes] = mapped_column(LargeBinary)
    parent: Mapped[bytes | None] = mapped_column(LargeBinary)
    folder: Mapped[bytes] = mapped_column(LargeBinary(32))
    name: Mapped[bytes] = mapped_column(LargeBinary)
    size: Mapped[int | None] = mapped_column(BigInteger)
    modified: Mapped[datetime | None] = mapped_column(Moment)
    etag: Mapped[str | None] = mapped_column(Text)
    version: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    state: Mapped[int] = mapped_column(SmallInteger, default=KNOWN)
    previous: Mapped[str | None] = mapped_column(Text)
