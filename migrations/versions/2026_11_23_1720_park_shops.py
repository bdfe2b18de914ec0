"""Park shops that no token opens any more, and let their jobs wait for the merchant.

The token columns keep their type: sealed values are text, and the plain ones of before are sealed
by the program as it writes them, or all at once by `atelier keys reseal` (a migration has no key).
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_parking"
down_revision = "0005_uploads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; columns without a default rewrite nothing."""
    op.add_column("shops", sa.Column("reauth_needed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo, in reverse order."""
    op.drop_column("jobs", "waiting_since")
    op.drop_column("shops", "reauth_needed_at")
