"""Never give up what the law asks for, and keep what a customer's data request was answered with.

The columns have constant defaults and the table is new, so nobody waits for more than a catalogue
entry. The index holds the jobs that a logged-in customer has started, which are few. Building it
reads the jobs once and keeps their writers waiting meanwhile; where that would be long, build it by
hand before, with CREATE INDEX CONCURRENTLY and the same name.

Deliveries that an earlier version has given up are taken up again by the workers
(`backend.worker.compliance`).
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_security import expose, protect

revision = "0015_compliance"
down_revision = "0014_new_entries"
branch_labels = None
depends_on = None

OF_CUSTOMERS = "ix_jobs_customer"
HAS_CUSTOMER = sa.text("customer_id IS NOT NULL")


def upgrade() -> None:
    """Expand."""
    op.add_column(
        "webhook_deliveries", sa.Column("tries", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("webhook_deliveries", sa.Column("next_try_at", sa.DateTime(timezone=True)))
    op.add_column(
        "webhook_deliveries", sa.Column("done", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "webhook_deliveries",
        sa.Column("crashes", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.create_table(
        "privacy_requests",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("shopify_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["shop_id"],
            ["shops.id"],
            name=op.f("fk_privacy_requests_shop_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "public_id", name=op.f("pk_privacy_requests")),
        sa.UniqueConstraint(
            "shop_id", "shopify_id", name=op.f("uq_privacy_requests_shop_id_shopify_id")
        ),
    )
    protect("privacy_requests", web="SELECT")
    op.create_index(
        OF_CUSTOMERS,
        "jobs",
        ["shop_id", "customer_id", "public_id"],
        unique=False,
        postgresql_where=HAS_CUSTOMER,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(OF_CUSTOMERS, table_name="jobs", postgresql_where=HAS_CUSTOMER)
    expose("privacy_requests")
    op.drop_table("privacy_requests")
    for column in ("crashes", "done", "next_try_at", "tries"):
        op.drop_column("webhook_deliveries", column)
