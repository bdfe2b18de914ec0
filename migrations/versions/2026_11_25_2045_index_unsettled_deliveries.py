"""Find the deliveries that wait without reading the whole inbox, which is looked for each minute.

The index holds what is not settled yet, so it stays small. Building it reads the inbox once and
keeps deliveries waiting meanwhile; where that would be long, build it by hand before, with
CREATE INDEX CONCURRENTLY and the same name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012_unsettled"
down_revision = "0011_row_security"
branch_labels = None
depends_on = None

NAME = "ix_webhook_deliveries_unsettled"
UNSETTLED = sa.text("status = 'received'")


def upgrade() -> None:
    """Expand."""
    op.create_index(
        NAME,
        "webhook_deliveries",
        ["received_at"],
        unique=False,
        postgresql_where=UNSETTLED,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(NAME, table_name="webhook_deliveries", postgresql_where=UNSETTLED)
