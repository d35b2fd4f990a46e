"""The one place of this service that asks for the time or waits for it."""

import time
from datetime import UTC, datetime

elapsed = time.perf_counter
"""Seconds that only ever grow; for durations."""

pause = time.sleep  # noqa: TID251 - this module is the clock
"""Wait for some seconds; never inside the event loop."""


def utc_text() -> str:
    """The time now as ISO 8601 in UTC with microseconds; sorts as text, on every database."""
    now = datetime.now(UTC)  # noqa: TID251 - this module is the clock
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
