"""Store what a batch came to, what a shop's pictures take, and the version of its settings.

The columns are nulls and constants, so no row is written anew. Jobs that were made before, or by a
process of the version before, do not tell their batch, and are counted by the batch's items.
Building the indexes reads the batches and the jobs once and keeps their writers waiting meanwhile;
where that would be long, add `jobs.batch_id` and build the index by hand before, with CREATE INDEX
CONCURRENTLY and the same name.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017_quotas"
down_revision = "0016_queue_lines"
branch_labels = None
depends_on = None

UNSETTLED = sa.text("finished_at IS NULL")
OF_BATCHES = sa.text("batch_id IS NOT NULL")


def upgrade() -> None:
    """Expand."""
    op.add_column("batches", sa.Column("counts", postgresql.JSONB(none_as_null=True)))
    op.add_column("batches", sa.Column("counted_at", sa.DateTime(timezone=True)))
    op.add_column("batches", sa.Column("finished_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_batches_unsettled",
        "batches",
        ["shop_id", "public_id"],
        unique=False,
        postgresql_where=UNSETTLED,
        if_not_exists=True,
    )
    op.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS batch_id text")
    op.create_index(
        "ix_jobs_of_batch",
        "jobs",
        ["shop_id", "batch_id"],
        unique=False,
        postgresql_where=OF_BATCHES,
        if_not_exists=True,
    )
    op.add_column(
        "shops", sa.Column("stored_bytes", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "shop_settings", sa.Column("version", sa.Integer(), server_default="1", nullable=False)
    )


def downgrade() -> None:
    """Undo, in reverse order."""
    op.drop_column("shop_settings", "version")
    op.drop_column("shops", "stored_bytes")
    op.drop_index("ix_jobs_of_batch", table_name="jobs", postgresql_where=OF_BATCHES)
    op.drop_column("jobs", "batch_id")
    op.drop_index("ix_batches_unsettled", table_name="batches", postgresql_where=UNSETTLED)
    for name in ("finished_at", "counted_at", "counts"):
        op.drop_column("batches", name)
