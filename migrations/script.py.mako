"""${message}.

Before merging: does running code survive both before and after it? Is every lock short?
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo, in reverse order."""
    ${downgrades if downgrades else "pass"}
