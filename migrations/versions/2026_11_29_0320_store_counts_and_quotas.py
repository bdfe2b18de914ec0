"""Store what a batch came to, what a shop's pictures take, and the version of its settings.

The columns are nulls and constants, so no row is written anew. Building the index reads the
batches once, of which there are few, and keeps their writers waiting meanwhile. Those that have
ended already are counted in the background, some each minute.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017_quotas"
down_revision = "0014_new_entries"
branch_labels = None
depends_on = None

INDEX = "ix_batches_unsettled"
UNSETTLED = sa.text("finished_at IS NULL")


def upgrade() -> None:
    """Expand."""
    op.add_column("batches", sa.Column("counts", postgresql.JSONB(none_as_null=True)))
    op.add_column("batches", sa.Column("counted_at", sa.DateTime(timezone=True)))
    op.add_column("batches", sa.Column("finished_at", sa.DateTime(timezone=True)))
    op.create_index(
        INDEX,
        "batches",
        ["shop_id", "public_id"],
        unique=False,
        postgresql_where=UNSETTLED,
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
    op.drop_index(INDEX, table_name="batches", postgresql_where=UNSETTLED)
    for name in ("finished_at", "counted_at", "counts"):
        op.drop_column("batches", name)
