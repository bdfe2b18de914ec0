"""Count what the reconciliations find and put right, by day and kind.

A new table, so nobody waits for a lock. The sweep of the bucket needs no index on the key columns:
it reads them once a night, all of them, in the order it needs (`backend.worker.named_keys`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_findings"
down_revision = "0008_rules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "findings",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("repaired", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("repaired BETWEEN 0 AND found", name=op.f("ck_findings_repaired")),
        sa.PrimaryKeyConstraint("day", "kind", name=op.f("pk_findings")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("findings")
