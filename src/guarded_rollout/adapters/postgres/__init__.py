"""PostgreSQL: looked at through psycopg, copied by pg_dump and pg_restore."""

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.database import PostgresDatabase

__all__ = ["Access", "PostgresDatabase"]
