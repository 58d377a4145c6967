"""Tokens for the native proxy that may less than their account."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Created, Moment


class ProxyToken(Created, Base):
    """Found by its digest; the token itself is not kept. Lists are JSON, an empty one allows all."""

    __tablename__ = "proxy_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    name: Mapped[str] = mapped_column(String(255), default="")
    hosts: Mapped[str] = mapped_column(Text, default="[]")
    methods: Mapped[str] = mapped_column(Text, default="[]")
    paths: Mapped[str] = mapped_column(Text, default="[]")
    read_only: Mapped[bool] = mapped_column(default=False)
    expires: Mapped[datetime | None] = mapped_column(Moment)
    revoked: Mapped[bool] = mapped_column(default=False)
