"""Data in one SQLite file that services write at the same time."""

from guarded_rollout.adapters.sqlite.database import SqliteDatabase

__all__ = ["SqliteDatabase"]
