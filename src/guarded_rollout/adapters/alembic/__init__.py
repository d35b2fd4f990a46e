"""Schema migrations by the service's own Alembic, run in a child process from the built release."""

from guarded_rollout.adapters.alembic.migrator import AlembicMigrator

__all__ = ["AlembicMigrator"]
