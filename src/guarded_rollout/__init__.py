"""Guarded rollouts: ship a release, watch it, put the old one back by itself if it misbehaves."""

__version__ = "0.1.0"
