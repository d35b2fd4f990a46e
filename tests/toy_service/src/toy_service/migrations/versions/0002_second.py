"""The second revision."""

revision = "0002_second"
down_revision = "0001_first"
