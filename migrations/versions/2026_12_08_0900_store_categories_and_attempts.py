"""Store the category of each job's garment, and the latest attempts at a webhook's delivery.

The gallery's index had the category that the request names, as an expression. Row-level security
keeps Postgres from searching by that: `->>` is not leakproof. A column can be searched by, and it
has the categories that the products told as well. It is null in jobs that ended before, or that a
worker of the version before ends, until a worker has copied theirs in small steps
(`worker.backfills`).

A submission gets the fingerprint of the key that it is sent with: another account does not know it.

Uploads get an index by the key of their object, by which a rerun looks for them. Building the two
indexes reads the tables once. Writers of uploads, and readers and writers of jobs, wait meanwhile.
Where that would be long, add the column and build the indexes by hand before, with the same names:

    ALTER TABLE jobs ADD COLUMN category text;
    CREATE INDEX CONCURRENTLY ix_jobs_gallery ON jobs (shop_id, job_type, public_id, category)
        WHERE status = 'SUCCESS' AND origin <> 'storefront';
    CREATE INDEX CONCURRENTLY ix_uploads_key ON uploads (shop_id, key);
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030_categories_attempts"
down_revision = "0028_partner_api"
branch_labels = None
depends_on = None

IS_RENDER = sa.text("status = 'SUCCESS' AND origin <> 'storefront'")


def upgrade() -> None:
    """Expand."""
    op.create_index("ix_uploads_key", "uploads", ["shop_id", "key"], if_not_exists=True)
    op.add_column(
        "endpoint_deliveries",
        sa.Column(
            "latest_attempts",
            postgresql.JSONB(),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column("submissions", sa.Column("key_fingerprint", sa.Text()))
    op.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS category text")
    create_renders_index("ix_jobs_gallery", "category")
    op.drop_index("ix_jobs_renders", table_name="jobs", postgresql_where=IS_RENDER)


def create_renders_index(name: str, category: str) -> None:
    """Each workflow's successful jobs in order, with their category."""
    op.create_index(
        name,
        "jobs",
        ["shop_id", "job_type", "public_id", sa.text(category)],
        postgresql_where=IS_RENDER,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo, in reverse order."""
    create_renders_index("ix_jobs_renders", "(request ->> 'category')")
    op.drop_index("ix_jobs_gallery", table_name="jobs", postgresql_where=IS_RENDER)
    op.drop_index("ix_uploads_key", table_name="uploads")
    op.drop_column("submissions", "key_fingerprint")
    op.drop_column("endpoint_deliveries", "latest_attempts")
    op.drop_column("jobs", "category")
