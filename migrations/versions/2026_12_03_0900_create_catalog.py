"""Create the catalog of generated images, and store of each job who asked and what it repeats.

The two columns of `jobs` are nulls, so no row is written anew and no lock is held for long. A job
from before has neither. Building the two indexes reads the jobs once and keeps their writers
waiting meanwhile. Where that would be long, add the columns and build the indexes by hand before,
with the same names:

    ALTER TABLE jobs ADD COLUMN rerun_of text, ADD COLUMN asked_by jsonb;
    CREATE INDEX CONCURRENTLY ix_jobs_rerun_of ON jobs (shop_id, rerun_of, public_id)
        WHERE rerun_of IS NOT NULL;
    CREATE INDEX CONCURRENTLY ix_jobs_renders
        ON jobs (shop_id, job_type, public_id, (request ->> 'category'))
        WHERE status = 'SUCCESS' AND origin <> 'storefront';
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.row_security import expose, protect

revision = "0025_catalog"
down_revision = "0023_purchases"
branch_labels = None
depends_on = None

IS_RERUN = sa.text("rerun_of IS NOT NULL")
IS_RENDER = sa.text("status = 'SUCCESS' AND origin <> 'storefront'")


def upgrade() -> None:
    """Expand."""
    for column in ("rerun_of text", "asked_by jsonb"):
        op.execute(f"ALTER TABLE jobs ADD COLUMN IF NOT EXISTS {column}")
    op.create_index(
        "ix_jobs_rerun_of",
        "jobs",
        ["shop_id", "rerun_of", "public_id"],
        postgresql_where=IS_RERUN,
        if_not_exists=True,
    )
    op.create_index(
        "ix_jobs_renders",
        "jobs",
        ["shop_id", "job_type", "public_id", sa.text("(request ->> 'category')")],
        postgresql_where=IS_RENDER,
        if_not_exists=True,
    )
    create_entries()


def create_entries() -> None:
    """The table of catalog entries. The web processes archive, restore and rename them."""
    op.create_table(
        "catalog_entries",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("archived_at", sa.DateTime(timezone=True)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('models', 'backgrounds', 'complementary-garments')",
            name=op.f("ck_catalog_entries_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "id"],
            ["jobs.shop_id", "jobs.public_id"],
            name=op.f("fk_catalog_entries_shop_id_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_catalog_entries")),
    )
    op.create_index("ix_catalog_entries_kind", "catalog_entries", ["shop_id", "kind", "id"])
    protect("catalog_entries", web="SELECT, UPDATE")


def downgrade() -> None:
    """Undo, in reverse order."""
    expose("catalog_entries")
    op.drop_table("catalog_entries")
    op.drop_index("ix_jobs_renders", table_name="jobs", postgresql_where=IS_RENDER)
    op.drop_index("ix_jobs_rerun_of", table_name="jobs", postgresql_where=IS_RERUN)
    for name in ("asked_by", "rerun_of"):
        op.drop_column("jobs", name)
