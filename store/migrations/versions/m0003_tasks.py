"""Tasks say what they do, how far they are, and why they failed."""

import sqlalchemy as sa
from alembic import op

from store import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; tasks that are there keep their result."""
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("operation", sa.String(length=32), nullable=False, server_default=""))
        tasks.add_column(sa.Column("request_id", sa.String(length=64), nullable=True))
        tasks.add_column(sa.Column("progress", sa.Text(), nullable=False, server_default="{}"))
        tasks.add_column(sa.Column("error", sa.Text(), nullable=True))
        tasks.add_column(sa.Column("finished", tables.Moment(timezone=True), nullable=True))
        tasks.create_index(op.f("ix_tasks_finished"), ["finished"], unique=False)


def downgrade() -> None:
    """Takes them away."""
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_index(op.f("ix_tasks_finished"))
        for name in ("finished", "error", "progress", "request_id", "operation"):
            tasks.drop_column(name)
