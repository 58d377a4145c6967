"""Access tokens that all workers share, and whose turn it is to renew one."""

import sqlalchemy as sa
from alembic import op

from store import tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. Until the first renewal an account's refresh token is the one in its settings."""
    op.create_table(
        "renewals",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("leased", tables.Moment(timezone=True), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_renewals_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_renewals")),
    )


def downgrade() -> None:
    """Takes it away. Accounts whose server replaced their refresh token have to be connected anew."""
    op.drop_table("renewals")
