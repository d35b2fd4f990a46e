"""How the numbers and times of the gates' commands are typed."""

import argparse
import math
from datetime import UTC, datetime


def rate(text: str) -> float:
    """Requests per second."""
    return _number(text, 1e6, "rate: write 50 or 0.2 requests per second")


def percent(text: str) -> float:
    """More than nothing, at most 100; a percent sign is fine."""
    return _number(text.strip().removesuffix("%"), 100.0, "share: write 5 or 0.5, in percent")


def moment(text: str) -> float:
    """A time as Unix seconds, or as 2026-11-21T17:00:00Z; without a zone it is UTC."""
    hint = "write 2026-11-21T17:00:00Z or Unix seconds"
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {hint}") from None


def _number(text: str, most: float, wanted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}")
    return number
