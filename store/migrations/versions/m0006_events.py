"""Events of accounts, and what crawls compare a store with; uploads that replace a file are known as such."""

import sqlalchemy as sa
from alembic import op

from store import tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _account(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    """The column that names the account, with which the row goes."""
    name = op.f(f"fk_{table}_account_id_accounts")
    return (
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=name, ondelete="CASCADE"),
    )


def upgrade() -> None:
    """Makes the tables. Of uploads that are under way it is not known, so they count as new files."""
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("replaces", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "event_feeds",
        *_account("event_feeds"),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("purged", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("numbered", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("due", tables.Moment(timezone=True), nullable=True),
        sa.Column("leased", tables.Moment(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("crawled", tables.Moment(timezone=True), nullable=True),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_event_feeds")),
    )
    op.create_index(op.f("ix_event_feeds_due"), "event_feeds", ["due"], unique=False)
    op.create_table(
        "events",
        *_account("events"),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("at", tables.Moment(timezone=True), nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=True),
        sa.Column("ip", sa.String(length=64), nullable=True),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "sequence", name=op.f("pk_events")),
    )
    op.create_index("ix_events_account_id", "events", ["account_id", "at"], unique=False)
    op.create_table(
        "tracked",
        *_account("tracked"),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("entry", sa.LargeBinary(length=32), nullable=False),
        sa.Column("raw_id", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("folder", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("modified", tables.Moment(timezone=True), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("version", sa.LargeBinary(length=32), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("pk_tracked")),
        sa.UniqueConstraint("account_id", "entry", name=op.f("uq_tracked_account_id")),
    )
    op.create_index("ix_tracked_folder", "tracked", ["account_id", "folder", "kind"], unique=False)
    op.create_index("ix_tracked_version", "tracked", ["account_id", "version"], unique=False)
    op.create_index("ix_tracked_state", "tracked", ["account_id", "state", "number"], unique=False)


def downgrade() -> None:
    """Takes them away."""
    for name in ("ix_tracked_state", "ix_tracked_version", "ix_tracked_folder"):
        op.drop_index(name, table_name="tracked")
    op.drop_table("tracked")
    op.drop_index("ix_events_account_id", table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_event_feeds_due"), table_name="event_feeds")
    op.drop_table("event_feeds")
    with op.batch_alter_table("uploads") as uploads:
        uploads.drop_column("replaces")
