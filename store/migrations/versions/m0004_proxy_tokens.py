"""Tokens for the native proxy."""

import sqlalchemy as sa
from alembic import op

from store import tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "proxy_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("hosts", sa.Text(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("paths", sa.Text(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("expires", tables.Moment(timezone=True), nullable=True),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("created", tables.Moment(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_proxy_tokens_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proxy_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_proxy_tokens_digest")),
    )
    op.create_index(op.f("ix_proxy_tokens_account_id"), "proxy_tokens", ["account_id"], unique=False)


def downgrade() -> None:
    """Takes it away."""
    op.drop_index(op.f("ix_proxy_tokens_account_id"), table_name="proxy_tokens")
    op.drop_table("proxy_tokens")
