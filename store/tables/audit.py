"""The audit log, chained by digests, and the gateway's own sealed settings."""

from datetime import datetime

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Moment


class Audit(Base):
    """One act. `digest` covers the row and the digest before it: a changed or missing row shows."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment)
    actor: Mapped[str] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(Text)  # JSON
    previous: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


class SealedSetting(Base):
    """A secret of the gateway itself, such as the one that public ids are bound with."""

    __tablename__ = "sealed_settings"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
