"""Create what shops buy: their charges, their subscription as last read, and the paid months."""

import sqlalchemy as sa
from alembic import op

from migrations.row_security import expose, protect

revision = "0023_purchases"
down_revision = "0022_credits"
branch_labels = None
depends_on = None

# Tables, and what the web processes may do: they create charges and read them back.
TABLES = {
    "purchases": "SELECT, INSERT, UPDATE",
    "subscriptions": "SELECT, INSERT, UPDATE",
    "plan_periods": "SELECT, INSERT, UPDATE",
}


def upgrade() -> None:
    """Expand."""
    create_purchases()
    create_subscriptions()
    create_plan_periods()
    for table, rights in TABLES.items():
        protect(table, web=rights)


def create_purchases() -> None:
    """One row a charge that was asked for."""
    op.create_table(
        "purchases",
        shop_id(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text()),
        sa.Column("trial_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trial_credits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("test", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("status", sa.Text(), server_default="INTENT", nullable=False),
        sa.Column("charge_gid", sa.Text()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("kind IN ('pack', 'subscription')", name=op.f("ck_purchases_kind")),
        sa.CheckConstraint("credits > 0", name=op.f("ck_purchases_credits")),
        sa.CheckConstraint("price > 0", name=op.f("ck_purchases_price")),
        of_a_shop("purchases"),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_purchases")),
        sa.UniqueConstraint("shop_id", "name", name=op.f("uq_purchases_shop_id_name")),
        sa.UniqueConstraint("shop_id", "charge_gid", name=op.f("uq_purchases_shop_id_charge_gid")),
    )


def create_subscriptions() -> None:
    """One row a shop."""
    op.create_table(
        "subscriptions",
        shop_id(),
        sa.Column("charge_gid", sa.Text()),
        sa.Column("handle", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("status", sa.Text()),
        sa.Column("credits", sa.Integer()),
        sa.Column("period_end", sa.DateTime(timezone=True)),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        of_a_shop("subscriptions"),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_subscriptions")),
    )


def create_plan_periods() -> None:
    """One row a shop and month."""
    op.create_table(
        "plan_periods",
        shop_id(),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.CheckConstraint("granted > 0", name=op.f("ck_plan_periods_granted")),
        of_a_shop("plan_periods"),
        sa.PrimaryKeyConstraint("shop_id", "ends_at", name=op.f("pk_plan_periods")),
    )


def shop_id() -> sa.Column[int]:
    """First in each key."""
    return sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False)


def of_a_shop(table: str) -> sa.ForeignKeyConstraint:
    """Its rows go with the shop's."""
    return sa.ForeignKeyConstraint(
        ["shop_id"], ["shops.id"], name=op.f(f"fk_{table}_shop_id"), ondelete="CASCADE"
    )


def downgrade() -> None:
    """Undo, in reverse order."""
    for table in reversed(TABLES):
        expose(table)
        op.drop_table(table)
