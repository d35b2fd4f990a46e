"""The first revision."""

revision = "0001_first"
down_revision = None
