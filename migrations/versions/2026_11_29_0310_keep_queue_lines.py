"""Let each shop wait in its own line, and the web processes see nothing of the others' entries.

- An index that tells how many deliveries of a topic a shop has waiting, asked at each delivery. It
  holds what is not settled yet, so it stays small. Building it reads the inbox once and keeps
  deliveries waiting meanwhile; where that would be long, build it by hand before, with CREATE INDEX
  CONCURRENTLY and the same name.
- What a publication is waiting for while it is off the queue's places.
- `atelier_web` reads of the queue what PgQueuer's enqueueing needs and no payload, and that of the
  entries of its own transaction alone: their `created` is the moment at which it began.
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_security import WEB, WORKER

revision = "0016_queue_lines"
down_revision = "0015_compliance"
branch_labels = None
depends_on = None

LINE = "ix_webhook_deliveries_line"
UNSETTLED = sa.text("status = 'received'")
# RETURNING names the first four, and ON CONFLICT, to know its index, `status` as well.
READ = "id, entrypoint, priority, dedupe_key, status, created"


def upgrade() -> None:
    """Expand."""
    op.create_index(
        LINE,
        "webhook_deliveries",
        ["shop_domain", "topic"],
        unique=False,
        postgresql_where=UNSETTLED,
        if_not_exists=True,
    )
    op.add_column("publications", sa.Column("shopify_busy_since", sa.DateTime(timezone=True)))
    op.add_column("publications", sa.Column("shopify_job", sa.Text()))
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA queue FROM {WEB}")
    op.execute(f"GRANT INSERT ON queue.pgqueuer, queue.pgqueuer_log TO {WEB}")
    op.execute(f"GRANT SELECT ({READ}) ON queue.pgqueuer TO {WEB}")
    op.execute(f"CREATE POLICY {WEB}_adds ON queue.pgqueuer FOR INSERT TO {WEB} WITH CHECK (true)")
    op.execute(
        f"CREATE POLICY {WEB}_sees ON queue.pgqueuer FOR SELECT TO {WEB} USING (created = now())"
    )
    op.execute(f"CREATE POLICY {WORKER} ON queue.pgqueuer TO {WORKER} USING (true)")
    op.execute("ALTER TABLE queue.pgqueuer ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Undo."""
    op.execute("ALTER TABLE queue.pgqueuer DISABLE ROW LEVEL SECURITY")
    for policy in (WORKER, f"{WEB}_sees", f"{WEB}_adds"):
        op.execute(f"DROP POLICY {policy} ON queue.pgqueuer")
    op.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA queue TO {WEB}")
    op.drop_column("publications", "shopify_job")
    op.drop_column("publications", "shopify_busy_since")
    op.drop_index(LINE, table_name="webhook_deliveries", postgresql_where=UNSETTLED)
