"""The statements of a migration, as many as the journal keeps."""

from typing import Any

from guarded_rollout.ports import Ran

MOST = 50
"""The lint reads all of them."""


def listed(ran: tuple[Ran, ...]) -> list[dict[str, Any]]:
    """What ran and how long it took, in milliseconds."""
    return [{"sql": one.sql, "ms": one.ms} for one in ran[:MOST]]
