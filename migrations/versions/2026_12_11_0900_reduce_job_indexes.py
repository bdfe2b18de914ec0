"""Find a job by its primary key, also before Postgres has statistics, and write fewer indexes.

Until Postgres has statistics of the jobs, it estimates one row for `shop_id = …`. Then an index
that the shop leads seems as good as the primary key, and that of the natural keys is smaller. So
each claim, end and foreign key read the shop's jobs. With the natural key first, the index serves
what it is for and nothing else. Processes of the version before use it too: an ON CONFLICT may name
the columns in any order.

Building the index reads the jobs once and keeps their writers waiting meanwhile. Where that would
be long, build it by hand before, with the same name:

    CREATE UNIQUE INDEX CONCURRENTLY uq_jobs_natural_key_shop_id ON jobs (natural_key, shop_id);
"""

from alembic import op

revision = "0033_job_indexes"
down_revision = "0032_quicken_queue"
branch_labels = None
depends_on = None

NATURAL_KEY = "uq_jobs_natural_key_shop_id"


def upgrade() -> None:
    """Expand."""
    op.create_index(
        NATURAL_KEY, "jobs", ["natural_key", "shop_id"], unique=True, if_not_exists=True
    )
    # Fails if it was built by hand and is not valid.
    op.execute(f"ALTER TABLE jobs ADD CONSTRAINT {NATURAL_KEY} UNIQUE USING INDEX {NATURAL_KEY}")
    op.drop_constraint(op.f("uq_jobs_shop_id_natural_key"), "jobs")


def downgrade() -> None:
    """Undo, in reverse order."""
    op.create_unique_constraint(
        op.f("uq_jobs_shop_id_natural_key"), "jobs", ["shop_id", "natural_key"]
    )
    op.drop_constraint(op.f(NATURAL_KEY), "jobs")
