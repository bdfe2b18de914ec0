"""Create the uploads: pictures that shops sent us, and whether a job uses them."""

import sqlalchemy as sa
from alembic import op

revision = "0005_uploads"
down_revision = "0004_making"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "uploads",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("upload_key", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["shop_id"], ["shops.id"], name=op.f("fk_uploads_shop_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shop_id", "upload_key", name=op.f("pk_uploads")),
    )
    op.create_index(
        "ix_uploads_unused",
        "uploads",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("used_at IS NULL"),
    )


def downgrade() -> None:
    """Undo, in reverse order. The objects stay in the bucket."""
    op.drop_index(
        "ix_uploads_unused", table_name="uploads", postgresql_where=sa.text("used_at IS NULL")
    )
    op.drop_table("uploads")
