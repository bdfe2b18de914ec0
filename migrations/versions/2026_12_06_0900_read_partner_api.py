"""Store when the Partner API may be asked, and which shops are expected to choose a plan."""

import sqlalchemy as sa
from alembic import op

revision = "0028_partner_api"
down_revision = "0027_webhook_endpoints"
branch_labels = None
depends_on = None

WEB, WORKER = "atelier_web", "atelier_worker"


def upgrade() -> None:
    """Expand. The one row of the new table is no shop's."""
    op.add_column("subscriptions", sa.Column("expected_until", sa.DateTime(timezone=True)))
    op.create_table(
        "partner_state",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("next_call_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events_read_until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_partner_state_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner_state")),
    )
    op.execute("INSERT INTO partner_state VALUES (1, now(), now())")
    op.execute(f"GRANT SELECT, UPDATE (next_call_at) ON partner_state TO {WEB}")
    op.execute(f"GRANT SELECT, UPDATE ON partner_state TO {WORKER}")


def downgrade() -> None:
    """Undo, in reverse order."""
    op.drop_table("partner_state")
    op.drop_column("subscriptions", "expected_until")
