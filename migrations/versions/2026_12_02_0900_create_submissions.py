"""Create what hosted providers were asked for, and which of them take nothing at the moment."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.row_security import ALL, WORKER, expose, protect

revision = "0024_submissions"
down_revision = "0023_purchases"
branch_labels = None
depends_on = None

STATES = (
    "status = 'WAITING' AND submitted_at IS NULL AND settled_at IS NULL "
    "OR status = 'INTENDED' AND intended_at IS NOT NULL AND submitted_at IS NULL "
    "AND settled_at IS NULL AND wake_at IS NOT NULL "
    "OR status IN ('SUBMITTED', 'READY') AND submitted_at IS NOT NULL AND settled_at IS NULL "
    "AND wake_at IS NOT NULL "
    "OR status = 'COLLECTED' AND submitted_at IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'FAILED' AND failure IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'LOST' AND intended_at IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'CANCELLED' AND settled_at IS NOT NULL"
)
INDEXES = {
    "ix_submissions_open": (
        ["provider", "status", "created_at"],
        "status IN ('WAITING', 'INTENDED', 'SUBMITTED', 'READY')",
    ),
    "ix_submissions_due": (["wake_at"], "status IN ('INTENDED', 'SUBMITTED', 'READY')"),
    "ix_submissions_intended": (["provider", "intended_at"], None),
    "ix_submissions_provider_job": (
        ["provider", "provider_job_id"],
        "provider_job_id IS NOT NULL",
    ),
}
# A callback may wake a submission and name the provider's job. It believes nothing else.
FOR_CALLBACKS = "SELECT, UPDATE (wake_at, hinted_id)"


def upgrade() -> None:
    """Expand."""
    create_submissions()
    for name, (columns, where) in INDEXES.items():
        condition = sa.text(where) if where else None
        op.create_index(name, "submissions", columns, postgresql_where=condition)
    protect("submissions", web=FOR_CALLBACKS)
    op.create_table(
        "provider_pauses",
        sa.Column("provider", sa.Text(), nullable=False),
        moment("until", nullable=False),
        moment("since", nullable=False, default=True),
        sa.Column("outages", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_pauses")),
    )
    op.execute(f"GRANT {ALL} ON provider_pauses TO {WORKER}")


def create_submissions() -> None:
    """One row a request."""
    op.create_table(
        "submissions",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("inputs", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("has_callback", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("provider_job_id", sa.Text()),
        sa.Column("handles", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("hinted_id", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("units", sa.Double()),
        sa.Column("unit", sa.Text()),
        sa.Column("amount_micros", sa.BigInteger()),
        sa.Column("cost_source", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("polls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("outages", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("possible_double_cost", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("failure", JSONB()),
        moment("created_at", nullable=False, default=True),
        *(moment(f"{name}_at") for name in ("intended", "submitted", "wake", "deadline")),
        moment("settled_at"),
        sa.CheckConstraint(STATES, name=op.f("ck_submissions_states")),
        sa.CheckConstraint("number > 0", name=op.f("ck_submissions_number")),
        sa.CheckConstraint(
            "cost_source IN ('answer', 'price_list', 'unknown')",
            name=op.f("ck_submissions_cost_source"),
        ),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_submissions_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "shop_id", "job_id", "stage", "number", name=op.f("pk_submissions")
        ),
    )


def moment(name: str, *, nullable: bool = True, default: bool = False) -> sa.Column[object]:
    """A time, by default that of the transaction."""
    now = sa.text("now()") if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=nullable)


def downgrade() -> None:
    """Undo, in reverse order."""
    op.execute(f"REVOKE ALL ON provider_pauses FROM {WORKER}")
    op.drop_table("provider_pauses")
    expose("submissions")
    op.drop_table("submissions")
