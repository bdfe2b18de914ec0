"""Tell which successful jobs wait for the merchant's review, without reading all jobs for it.

`jobs.review` is WAITING from the start. So whoever ends a job, of whatever version, need not know
of it: the index has a job once it has succeeded. A trigger follows the publications, because
processes of the version before publish and restore too. Publishing takes a dismissal back.

The columns are nulls and a constant, so no row is written anew and no lock is held for long. Jobs
that were published before stay WAITING until a worker has corrected them in small steps
(`worker.backfills`); the API leaves them out meanwhile. The check on `review` is for new
rows: to validate it would read every job under the lock. Building the index reads the jobs once and
keeps their writers waiting meanwhile; where that would be long, add the columns and build it by
hand before, with CREATE INDEX CONCURRENTLY and the same name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021_review"
down_revision = "0020_job_price"
branch_labels = None
depends_on = None

REVIEWABLE = sa.text("status = 'SUCCESS' AND origin <> 'storefront'")
FOLLOW = """
CREATE FUNCTION follow_publication() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_live boolean := NEW.status NOT IN ('FAILED', 'RESTORED');
BEGIN
    UPDATE jobs SET review = CASE WHEN is_live THEN 'PUBLISHED' ELSE 'WAITING' END,
                    dismissed_at = NULL
    WHERE shop_id = NEW.shop_id AND public_id = NEW.job_id
    AND (review = 'PUBLISHED') <> is_live;
    RETURN NULL;
END
$$
"""
ON_CHANGE = """
CREATE TRIGGER follow_publication AFTER INSERT OR UPDATE OF status ON publications
FOR EACH ROW EXECUTE FUNCTION follow_publication()
"""


def upgrade() -> None:
    """Expand."""
    for column in (
        "product_title text",
        "review text NOT NULL DEFAULT 'WAITING'",
        "dismissed_at timestamptz",
    ):
        op.execute(f"ALTER TABLE jobs ADD COLUMN IF NOT EXISTS {column}")
    op.execute(
        "ALTER TABLE jobs ADD CONSTRAINT ck_jobs_review "
        "CHECK (review IN ('WAITING', 'DISMISSED', 'PUBLISHED')) NOT VALID"
    )
    op.create_index(
        "ix_jobs_review",
        "jobs",
        ["shop_id", "review", "public_id"],
        postgresql_where=REVIEWABLE,
        if_not_exists=True,
    )
    op.execute(FOLLOW)
    op.execute(ON_CHANGE)
    op.add_column("shops", sa.Column("setup_dismissed_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Undo, in reverse order."""
    op.drop_column("shops", "setup_dismissed_at")
    op.execute("DROP TRIGGER follow_publication ON publications")
    op.execute("DROP FUNCTION follow_publication")
    op.drop_index("ix_jobs_review", table_name="jobs", postgresql_where=REVIEWABLE)
    op.drop_constraint(op.f("ck_jobs_review"), "jobs")
    for name in ("dismissed_at", "review", "product_title"):
        op.drop_column("jobs", name)
