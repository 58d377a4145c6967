"""Uploads in parts, while they last."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Created, Modified, Moment


class Upload(Created, Base):
    """A file on its way in parts. `state` is its connector's and holds no secret."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    size: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Text)
    part_size: Mapped[int] = mapped_column(BigInteger)
    parallel: Mapped[bool]
    replaces: Mapped[bool] = mapped_column(default=False)  # a file had the name when it began
    expires: Mapped[datetime] = mapped_column(Moment, index=True)


class UploadPart(Modified, Base):
    """A part that the store has."""

    __tablename__ = "upload_parts"
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    tag: Mapped[str] = mapped_column(Text)
