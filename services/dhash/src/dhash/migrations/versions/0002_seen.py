"""How often a picture came by, and an index for counting what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # The default lets a release that does not know the column go on inserting.
    op.add_column("images", sa.Column("seen_count", sa.Integer, nullable=False, server_default="1"))
    op.add_column("images", sa.Column("last_seen_at", sa.Text))
    op.create_index("reviews_status", "reviews", ["status"])


def downgrade() -> None:
    op.drop_index("reviews_status", "reviews")
    op.drop_column("images", "last_seen_at")
    op.drop_column("images", "seen_count")
