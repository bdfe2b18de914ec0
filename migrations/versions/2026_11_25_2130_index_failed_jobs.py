"""Find a shop's failed jobs without reading all of its jobs.

They are few, and it is they who are asked for. An index over every status would be written twice
for each job, whatever becomes of it; this one only when a job fails. Building it reads the jobs
once and keeps their writers waiting meanwhile; where that would be long, build it by hand before,
with CREATE INDEX CONCURRENTLY and the same name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013_failed"
down_revision = "0012_unsettled"
branch_labels = None
depends_on = None

NAME = "ix_jobs_failed"
FAILED = sa.text("status = 'FAILURE'")


def upgrade() -> None:
    """Expand."""
    op.create_index(
        NAME,
        "jobs",
        ["shop_id", "public_id"],
        unique=False,
        postgresql_where=FAILED,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(NAME, table_name="jobs", postgresql_where=FAILED)
