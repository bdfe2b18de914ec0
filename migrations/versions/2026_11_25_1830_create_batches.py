"""Create the batches: one workflow for many products, and what has become of each."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010_batches"
down_revision = "0009_findings"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("expansion = 'EXPANDING'")
PENDING = sa.text("job_id IS NULL AND error IS NULL")


def upgrade() -> None:
    """Expand."""
    create_batches()
    create_batch_items()


def create_batches() -> None:
    """One row a batch."""
    op.create_table(
        "batches",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("expansion", sa.Text(), server_default="EXPANDING", nullable=False),
        sa.Column("round", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "expansion IN ('EXPANDING', 'EXPANDED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_batches_expansion"),
        ),
        sa.CheckConstraint("collection_id IS NOT NULL OR is_read", name=op.f("ck_batches_is_read")),
        sa.CheckConstraint(
            "(expansion = 'FAILED') = (error IS NOT NULL)", name=op.f("ck_batches_error")
        ),
        sa.CheckConstraint(
            "(expansion = 'EXPANDING') = (ended_at IS NULL)", name=op.f("ck_batches_ended_at")
        ),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_batches_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shop_id", "public_id", name=op.f("pk_batches")),
    )
    op.create_index(
        "ix_batches_unfinished",
        "batches",
        ["shop_id", "changed_at"],
        unique=False,
        postgresql_where=UNFINISHED,
    )


def create_batch_items() -> None:
    """One row a product."""
    op.create_table(
        "batch_items",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.CheckConstraint("ordinal > 0", name=op.f("ck_batch_items_ordinal")),
        sa.CheckConstraint("job_id IS NULL OR error IS NULL", name=op.f("ck_batch_items_error")),
        sa.ForeignKeyConstraint(
            ["shop_id", "batch_id"],
            ["batches.shop_id", "batches.public_id"],
            name=op.f("fk_batch_items_shop_id_batch_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "job_id"],
            ["jobs.shop_id", "jobs.public_id"],
            name=op.f("fk_batch_items_shop_id_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "batch_id", "ordinal", name=op.f("pk_batch_items")),
        sa.UniqueConstraint(
            "shop_id",
            "batch_id",
            "product_id",
            name=op.f("uq_batch_items_shop_id_batch_id_product_id"),
        ),
        sa.UniqueConstraint("shop_id", "job_id", name=op.f("uq_batch_items_shop_id_job_id")),
    )
    op.create_index(
        "ix_batch_items_pending",
        "batch_items",
        ["shop_id", "batch_id", "ordinal"],
        unique=False,
        postgresql_where=PENDING,
    )


def downgrade() -> None:
    """Undo, in reverse order. The jobs stay."""
    op.drop_index("ix_batch_items_pending", table_name="batch_items", postgresql_where=PENDING)
    op.drop_table("batch_items")
    op.drop_index("ix_batches_unfinished", table_name="batches", postgresql_where=UNFINISHED)
    op.drop_table("batches")
