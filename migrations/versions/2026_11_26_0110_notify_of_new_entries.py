"""Wake the workers for entries that are new, and not for each one that another has finished.

PgQueuer also tells of deletions, for entry points with a limit to how many run at once. Ours have
none, and a worker knows itself when it has a place again (`backend.worker.places`): what was left
was every worker of the fleet looking in vain after each job of every other.
"""

from alembic import op

revision = "0014_new_entries"
down_revision = "0013_failed"
branch_labels = None
depends_on = None

TRIGGER = """
CREATE OR REPLACE TRIGGER tg_pgqueuer_changed AFTER {events} ON queue.pgqueuer
EXECUTE FUNCTION queue.fn_pgqueuer_changed()
"""


def upgrade() -> None:
    """Contract: workers of the version before look every five seconds, and hear of new entries."""
    op.execute(TRIGGER.format(events="INSERT"))


def downgrade() -> None:
    """Undo."""
    op.execute(TRIGGER.format(events="INSERT OR UPDATE OR DELETE OR TRUNCATE"))
