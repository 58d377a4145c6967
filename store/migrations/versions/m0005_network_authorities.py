"""Certificate authorities of a private network."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("networks", sa.Column("authorities", sa.Text(), nullable=True))


def downgrade() -> None:
    """Takes it away."""
    with op.batch_alter_table("networks") as networks:
        networks.drop_column("authorities")
