"""Count the outages that jobs, publications and batches wait out, apart from what crashes them."""

import sqlalchemy as sa
from alembic import op

revision = "0019_outages"
down_revision = "0018_retention"
branch_labels = None
depends_on = None

TABLES = ("jobs", "publications", "batches")


def upgrade() -> None:
    """Expand; a constant default rewrites nothing."""
    for table in TABLES:
        op.add_column(
            table, sa.Column("outages", sa.SmallInteger(), server_default="0", nullable=False)
        )


def downgrade() -> None:
    """Undo, in reverse order."""
    for table in reversed(TABLES):
        op.drop_column(table, "outages")
