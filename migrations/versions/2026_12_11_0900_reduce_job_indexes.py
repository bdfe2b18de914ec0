"""Find a job by its primary key, also before Postgres has statistics, and write fewer indexes.

Until Postgres has statistics of the jobs, it estimates one row for `shop_id = …`. Then an index
that the shop leads seems as good as the primary key, and that of the natural keys is smaller. So
each claim, end and foreign key read the shop's jobs. With the natural key first, the index serves
what it is for and nothing else. Processes of the version before use it too: an ON CONFLICT may name
the columns in any order. Most jobs have no natural key; Postgres does not merge their equal entries
each time that a page is full, which costs each write more than the space is worth.

Six indexes had the jobs that name an upload, one for each field of the requests. Each statement
that writes a job prepared the conditions of all six. One index has them now, by the shop alone:
because of row-level security Postgres could not search by the upload in the others either. A worker
of the version before does without them, in a chore of the night.

Building the two indexes reads the jobs once each. Their readers and writers wait meanwhile. Where
that would be long, build them by hand before, with the same names:

    CREATE UNIQUE INDEX CONCURRENTLY uq_jobs_natural_key_shop_id ON jobs (natural_key, shop_id)
        WITH (deduplicate_items = off);
    CREATE INDEX CONCURRENTLY ix_jobs_uploads ON jobs (shop_id)
        WHERE request ?| '{upload_key,background_upload_key,person_upload_key,garment_2_upload_key,
                           garment_3_upload_key,garment_4_upload_key}'::text[];
"""

import sqlalchemy as sa
from alembic import op

revision = "0033_job_indexes"
down_revision = "0032_quicken_queue"
branch_labels = None
depends_on = None

NATURAL_KEY = "uq_jobs_natural_key_shop_id"
UPLOAD_FIELDS = (
    "upload_key",
    "background_upload_key",
    "person_upload_key",
    "garment_2_upload_key",
    "garment_3_upload_key",
    "garment_4_upload_key",
)
NAMES_UPLOADS = f"request ?| '{{{','.join(UPLOAD_FIELDS)}}}'::text[]"


def upgrade() -> None:
    """Expand."""
    # First what needs the strongest lock on the jobs: to ask for it later could end in a deadlock
    # with a transaction that has read a job and is about to write it.
    op.drop_constraint(op.f("uq_jobs_shop_id_natural_key"), "jobs")
    for field in UPLOAD_FIELDS:
        op.drop_index(f"ix_jobs_{field}", table_name="jobs")
    op.create_index(
        NATURAL_KEY,
        "jobs",
        ["natural_key", "shop_id"],
        unique=True,
        postgresql_with={"deduplicate_items": "off"},
        if_not_exists=True,
    )
    # Fails if it was built by hand and is not valid.
    op.execute(f"ALTER TABLE jobs ADD CONSTRAINT {NATURAL_KEY} UNIQUE USING INDEX {NATURAL_KEY}")
    op.create_index(
        "ix_jobs_uploads",
        "jobs",
        ["shop_id"],
        postgresql_where=sa.text(NAMES_UPLOADS),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo; again the strongest lock first."""
    op.drop_constraint(op.f(NATURAL_KEY), "jobs")
    op.drop_index("ix_jobs_uploads", table_name="jobs")
    op.create_unique_constraint(
        op.f("uq_jobs_shop_id_natural_key"), "jobs", ["shop_id", "natural_key"]
    )
    for field in UPLOAD_FIELDS:
        key = f"(request ->> '{field}')"
        op.create_index(
            f"ix_jobs_{field}",
            "jobs",
            ["shop_id", sa.text(key)],
            postgresql_where=sa.text(f"{key} IS NOT NULL"),
        )
