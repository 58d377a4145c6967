"""Developers, their applications, and the keys of both."""

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Created, Modified


class Developer(Created, Base):
    """Who owns applications."""

    __tablename__ = "developers"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))  # argon2id


class DeveloperKey(Created, Base):
    """A Meta token: found by its digest, shown from its seal."""

    __tablename__ = "developer_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    developer_id: Mapped[int] = mapped_column(ForeignKey("developers.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class Application(Modified, Base):
    """A program that calls the API."""

    __tablename__ = "applications"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    developer_id: Mapped[int] = mapped_column(ForeignKey("developers.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    logo_url: Mapped[str] = mapped_column(Text, default="")
    active: Mapped[bool] = mapped_column(default=True)
    implicit_grant_enabled: Mapped[bool] = mapped_column(default=False)
    recent_enabled: Mapped[bool] = mapped_column(default=False)
    events_enabled: Mapped[bool] = mapped_column(default=False)
    internal_use: Mapped[bool] = mapped_column(default=False)


class ApiKey(Created, Base):
    """An application's key: found by its digest, shown to its owner from its seal."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    application_id: Mapped[str] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
