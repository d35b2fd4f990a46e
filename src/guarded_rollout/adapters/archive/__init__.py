"""Backups: plain zips with checksums, written whole, read back before anybody sees them."""

from guarded_rollout.adapters.archive.zips import ZipArchive

__all__ = ["ZipArchive"]
