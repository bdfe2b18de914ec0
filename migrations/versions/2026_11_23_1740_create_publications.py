"""Create the publications: a job's pictures on a product, and what the product showed before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007_publications"
down_revision = "0006_parking"
branch_labels = None
depends_on = None

LIVE = sa.text("status NOT IN ('FAILED', 'RESTORED')")
UNFINISHED = sa.text("status IN ('PENDING', 'PUBLISHING', 'RESTORING')")


def upgrade() -> None:
    """Expand."""
    create_publications()
    create_published_media()


def create_publications() -> None:
    """One row a publication."""
    op.create_table(
        "publications",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("round", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("snapshot", postgresql.JSONB(none_as_null=True), nullable=True),
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
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("round > 0", name=op.f("ck_publications_round")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'PUBLISHING', 'PUBLISHED', 'FAILED', 'RESTORING', 'RESTORED')",
            name=op.f("ck_publications_status"),
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "job_id"],
            ["jobs.shop_id", "jobs.public_id"],
            name=op.f("fk_publications_shop_id_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "job_id", "round", name=op.f("pk_publications")),
    )
    op.create_index(
        "uq_publications_live",
        "publications",
        ["shop_id", "job_id"],
        unique=True,
        postgresql_where=LIVE,
    )
    op.create_index(
        "ix_publications_unfinished",
        "publications",
        ["shop_id", "changed_at"],
        unique=False,
        postgresql_where=UNFINISHED,
    )


def create_published_media() -> None:
    """One row a picture."""
    op.create_table(
        "published_media",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("alt", sa.Text(), nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("media_id", sa.Text(), nullable=True),
        sa.CheckConstraint("number > 0", name=op.f("ck_published_media_number")),
        sa.CheckConstraint("position > 0", name=op.f("ck_published_media_position")),
        sa.CheckConstraint("char_length(alt) <= 512", name=op.f("ck_published_media_alt")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'CREATING', 'PROCESSING', 'READY', 'ATTACHING', 'ATTACHED', "
            "'REMOVED')",
            name=op.f("ck_published_media_status"),
        ),
        sa.CheckConstraint(
            "media_id IS NOT NULL OR status IN ('PENDING', 'CREATING', 'REMOVED')",
            name=op.f("ck_published_media_media_id"),
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "job_id", "round"],
            ["publications.shop_id", "publications.job_id", "publications.round"],
            name=op.f("fk_published_media_shop_id_job_id_round"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "job_id", "stage", "name"],
            ["artifacts.shop_id", "artifacts.job_id", "artifacts.stage", "artifacts.name"],
            name=op.f("fk_published_media_shop_id_job_id_stage_name"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "job_id", "number", name=op.f("pk_published_media")),
        sa.UniqueConstraint(
            "shop_id",
            "job_id",
            "round",
            "position",
            name=op.f("uq_published_media_shop_id_job_id_round_position"),
        ),
        sa.UniqueConstraint(
            "shop_id",
            "job_id",
            "round",
            "sha256",
            name=op.f("uq_published_media_shop_id_job_id_round_sha256"),
        ),
        sa.UniqueConstraint(
            "shop_id", "filename", name=op.f("uq_published_media_shop_id_filename")
        ),
    )
    op.create_index(
        "ix_published_media_media", "published_media", ["shop_id", "media_id"], unique=False
    )


def downgrade() -> None:
    """Undo, in reverse order. What is published stays in the shops."""
    op.drop_index("ix_published_media_media", table_name="published_media")
    op.drop_table("published_media")
    op.drop_index(
        "ix_publications_unfinished", table_name="publications", postgresql_where=UNFINISHED
    )
    op.drop_index("uq_publications_live", table_name="publications", postgresql_where=LIVE)
    op.drop_table("publications")
