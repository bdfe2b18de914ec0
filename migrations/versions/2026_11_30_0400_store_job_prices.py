"""Keep each job's price in credits, as it was when the job was made.

Null is a job that was made before, or by a process of the version before: its price is its
workflow's. So nothing is backfilled, no row is written anew, and the lock is held for a moment.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020_job_price"
down_revision = "0019_outages"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    op.add_column("jobs", sa.Column("credits_cost", sa.SmallInteger()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("jobs", "credits_cost")
