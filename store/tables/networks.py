"""Private networks, the agents in them, and invitations."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, Created, Moment


class Network(Created, Base):
    """A private network."""

    __tablename__ = "networks"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    authorities: Mapped[str | None] = mapped_column(Text)  # PEM; None: whom the machine trusts


class Agent(Created, Base):
    """Our process in a network; only the public half of its key is known here."""

    __tablename__ = "agents"
    id: Mapped[int] = mapped_column(primary_key=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    policy: Mapped[str] = mapped_column(Text, default="[]")  # JSON, as the agent last told it
    revoked: Mapped[bool] = mapped_column(default=False)
    last_seen: Mapped[datetime | None] = mapped_column(Moment)


class Enrolment(Created, Base):
    """A one-time invitation; the secret itself is not kept."""

    __tablename__ = "enrolments"
    id: Mapped[int] = mapped_column(primary_key=True)
    network_id: Mapped[int] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    expires: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime | None] = mapped_column(Moment)
