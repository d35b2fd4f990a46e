"""Copies of backups in other places: a folder on another disk, S3-compatible storage."""

from guarded_rollout.adapters.copies.places import CheckedCopies

__all__ = ["CheckedCopies"]
