"""Pictures, their band index, and the queue of matches that wait for a person."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("content_sha256", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("stable_bits", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("created_at", sa.Text, nullable=False),
        # A number is never given out again, or rows set aside by a restore could not come back.
        sqlite_autoincrement=True,
    )
    op.create_index("images_hash", "images", ["hash"])
    op.create_table(
        "bands",
        sa.Column("band_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("pair", sa.Text, nullable=False, unique=True),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("images.id"), nullable=False),
        sa.Column("matched_image_id", sa.Integer, sa.ForeignKey("images.id"), nullable=False),
        sa.Column("distance", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("reviewer", sa.Text),
        sa.Column("decided_at", sa.Text),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("reviews")
    op.drop_table("bands")
    op.drop_table("images")
