"""The tables as this code uses them.

A database may be newer than this code, so every statement names its columns; the migrations
alone create and change tables.
"""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

metadata = MetaData()

images = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("content_sha256", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
    Column("stable_bits", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("page", Integer),
    Column("created_at", Text, nullable=False),
    Column("seen_count", Integer, nullable=False),
    Column("last_seen_at", Text),
)

bands = Table(
    "bands",
    metadata,
    Column("band_key", BigInteger, primary_key=True),
    Column("hash", Text, primary_key=True),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pair", Text, nullable=False, unique=True),
    Column("image_id", Integer, nullable=False),
    Column("matched_image_id", Integer, nullable=False),
    Column("distance", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("reviewer", Text),
    Column("decided_at", Text),
)

alembic_version = Table("alembic_version", metadata, Column("version_num", Text, primary_key=True))
