"""Create the shops' rules, and what tells a product's first picture from a changed one.

`joined_at` of the shops that are here is when they were last installed: the best we know.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_rules"
down_revision = "0007_publications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; a default that does not change within the statement rewrites nothing."""
    op.add_column("jobs", sa.Column("publish", postgresql.JSONB(), nullable=True))
    for name in ("joined_at", "products_swept_until"):
        op.add_column(
            "shops",
            sa.Column(
                name,
                sa.DateTime(timezone=True),
                server_default=sa.text("now()"),
                nullable=False,
            ),
        )
    op.execute("UPDATE shops SET joined_at = installed_at")
    op.create_table(
        "shop_settings",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("rules", postgresql.JSONB(), nullable=False),
        sa.Column("daily_credit_cap", sa.Integer(), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("daily_credit_cap >= 0", name=op.f("ck_shop_settings_daily_credit_cap")),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_shop_settings_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_shop_settings")),
    )
    op.create_table(
        "seen_pictures",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "trigger IN ('product_created', 'image_changed')",
            name=op.f("ck_seen_pictures_trigger"),
        ),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_seen_pictures_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shop_id", "product_id", name=op.f("pk_seen_pictures")),
    )


def downgrade() -> None:
    """Undo, in reverse order."""
    op.drop_table("seen_pictures")
    op.drop_table("shop_settings")
    op.drop_column("shops", "products_swept_until")
    op.drop_column("shops", "joined_at")
    op.drop_column("jobs", "publish")
