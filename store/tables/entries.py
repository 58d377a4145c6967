"""What we keep about files of a store: links that share them, properties that the store has no place for."""

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Modified, Moment


def raw_bytes(raw_id: str) -> bytes:
    """A raw id as a column holds it: bytes, since a store's names need not be text that a database takes."""
    return raw_id.encode("utf-8", "surrogateescape")


def entry_digest(kind: str, raw_id: bytes) -> bytes:
    """What an entry is looked up by: its raw id may be longer than an index takes."""
    return hashlib.sha256(kind.encode() + b":" + raw_id).digest()


class OfEntry(Modified):
    """A row about one entry of one account. It goes with the account."""

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    raw_id: Mapped[bytes] = mapped_column(LargeBinary)
    entry: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)  # `entry_digest`

    def place(self, raw_id: bytes) -> None:
        """The entry has another raw id now."""
        self.raw_id = raw_id
        self.entry = entry_digest(self.kind, raw_id)


class Link(OfEntry, Base):
    """A URL that shares a file: found by its digest, shown again from its seal."""

    __tablename__ = "links"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    file_id: Mapped[str] = mapped_column(Text)  # the public id of the same entry
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    password_hash: Mapped[str | None] = mapped_column(String(255))  # argon2id
    expiration: Mapped[datetime | None] = mapped_column(Moment)
    active: Mapped[bool] = mapped_column(default=True)
    direct: Mapped[bool] = mapped_column(default=False)


class Property(OfEntry, Base):
    """A key and a value of a caller's own."""

    __tablename__ = "properties"
    __table_args__ = (UniqueConstraint("account_id", "entry", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255))
    value: Mapped[str] = mapped_column(Text)
