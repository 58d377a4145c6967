"""Connected accounts, their tokens, and tasks that run for them."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Created, Modified, Moment


class Account(Modified, Base):
    """One connected store of one user."""

    __tablename__ = "accounts"
    # AUTOINCREMENT: the id of a deleted account must never come back to mean another one
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  SQLAlchemy reads a plain dict
    id: Mapped[int] = mapped_column(primary_key=True)
    application_id: Mapped[str] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"), index=True)
    service: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(512))
    network_id: Mapped[int | None] = mapped_column(ForeignKey("networks.id"), index=True)
    credential: Mapped[bytes] = mapped_column(LargeBinary)  # sealed; only the worker can open it
    revision: Mapped[int] = mapped_column(default=0)  # grows with every change of the credential
    active: Mapped[bool] = mapped_column(default=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    admin: Mapped[bool] = mapped_column(default=False)
    internal_use: Mapped[bool] = mapped_column(default=False)
    token_expiry: Mapped[datetime | None] = mapped_column(Moment)


class AccessToken(Created, Base):
    """A Bearer token of one account: found by its digest."""

    __tablename__ = "access_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    scope: Mapped[str] = mapped_column(Text, default="all")
    expires: Mapped[datetime | None] = mapped_column(Moment)
    revoked: Mapped[bool] = mapped_column(default=False)


class Renewal(Base):
    """An account's access token as all workers share it, and whose turn it is to renew it.

    Attributes:
        generation: of the last turn that was taken.
        leased: until when that turn lasts; None while nobody has it.
        sealed: the token and the next refresh token, the worker's; None before the first.
        kept: the generation of the turn that `sealed` is of: an older one's comes too late.
        revision: of the account's credential, with which that token was had.
    """

    __tablename__ = "renewals"
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    generation: Mapped[int] = mapped_column(BigInteger, default=0)
    leased: Mapped[datetime | None] = mapped_column(Moment)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    kept: Mapped[int] = mapped_column(BigInteger, default=0)
    revision: Mapped[int] = mapped_column(default=0)


class Task(Modified, Base):
    """Asynchronous work that a client polls. `result`, `progress` and `error` are JSON, the worker's."""

    __tablename__ = "tasks"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    operation: Mapped[str] = mapped_column(String(32), default="")
    request_id: Mapped[str | None] = mapped_column(String(64))  # of the request that began it
    state: Mapped[str] = mapped_column(String(16), default="PENDING")
    progress: Mapped[str] = mapped_column(Text, default="{}")
    result: Mapped[str] = mapped_column(Text, default="{}")
    error: Mapped[str | None] = mapped_column(Text)
    finished: Mapped[datetime | None] = mapped_column(Moment, index=True)
