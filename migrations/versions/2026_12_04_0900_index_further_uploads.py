"""Find the jobs that name an upload as a person's photo or as a further garment.

Uploads expire once no job names them. Few jobs have these fields, so the indexes are small.
Building them reads the jobs once and keeps their writers waiting meanwhile. Where that would be
long, build them by hand before, with CREATE INDEX CONCURRENTLY and the same names.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026_further_uploads"
down_revision = "0025_catalog"
branch_labels = None
depends_on = None

FIELDS = (
    "person_upload_key",
    "garment_2_upload_key",
    "garment_3_upload_key",
    "garment_4_upload_key",
)


def upgrade() -> None:
    """Expand."""
    for field in FIELDS:
        key = f"(request ->> '{field}')"
        op.create_index(
            f"ix_jobs_{field}",
            "jobs",
            ["shop_id", sa.text(key)],
            postgresql_where=sa.text(f"{key} IS NOT NULL"),
            if_not_exists=True,
        )


def downgrade() -> None:
    """Undo, in reverse order."""
    for field in reversed(FIELDS):
        op.drop_index(f"ix_jobs_{field}", table_name="jobs")
