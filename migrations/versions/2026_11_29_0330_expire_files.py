"""Let the files of jobs that have ended expire, and jobs go, without reading all jobs for it.

`jobs.files` says whether a job's intermediates and originals are there. The index over jobs that
have ended finds those that are due; the ones over uploads find whether any job still names one, of
the few jobs that do. `past_jobs` remembers what rules have had made by jobs that are gone.

A new column with a default that does not change rewrites nothing. Building the indexes reads the
jobs once and keeps their writers waiting meanwhile; where that would be long, add the column and
build them by hand before, with CREATE INDEX CONCURRENTLY and the same names.
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_security import expose, protect

revision = "0018_retention"
down_revision = "0017_quotas"
branch_labels = None
depends_on = None

ADD_FILES = "ALTER TABLE jobs ADD COLUMN IF NOT EXISTS files text NOT NULL DEFAULT 'KEPT'"
IS_STATE = "files IN ('KEPT', 'EXPIRING', 'EXPIRED')"
NAMED = {
    "ix_jobs_upload_key": "(request ->> 'upload_key')",
    "ix_jobs_background_upload_key": "(request ->> 'background_upload_key')",
}


def upgrade() -> None:
    """Expand."""
    op.execute(ADD_FILES)
    op.create_check_constraint(op.f("ck_jobs_files"), "jobs", IS_STATE)
    op.create_index(
        "ix_jobs_ended",
        "jobs",
        ["files", "finished_at", "shop_id", "public_id"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
        if_not_exists=True,
    )
    for name, key in NAMED.items():
        op.create_index(
            name,
            "jobs",
            ["shop_id", sa.text(key)],
            postgresql_where=sa.text(f"{key} IS NOT NULL"),
            if_not_exists=True,
        )
    op.create_index(
        "ix_uploads_used",
        "uploads",
        ["used_at"],
        postgresql_where=sa.text("used_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "past_jobs",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_past_jobs_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shop_id", "natural_key", name=op.f("pk_past_jobs")),
    )
    protect("past_jobs", web="")


def downgrade() -> None:
    """Undo."""
    expose("past_jobs")
    op.drop_table("past_jobs")
    op.drop_index("ix_uploads_used", table_name="uploads")
    for name in NAMED:
        op.drop_index(name, table_name="jobs")
    op.drop_index("ix_jobs_ended", table_name="jobs")
    op.drop_constraint(op.f("ck_jobs_files"), "jobs")
    op.drop_column("jobs", "files")
