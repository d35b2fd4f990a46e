"""Release names as Envoy can use them in the names of statistics, and back.

A dot separates the parts of a statistic's name and a colon is rewritten by Envoy, so everything
but letters, digits and dashes is written as `_` and two hexadecimal digits per byte.
"""

import re
from urllib.parse import unquote_to_bytes

STANDING_BY = "@"
"""`B@A`: the replicas of B as they stand by for A."""

PINNED = "+pinned"
"""`B+pinned`: what testers asked of B. It is on no release's account."""

_PLAIN = re.compile(rb"[A-Za-z0-9-]")


def encode(release: str) -> str:
    """`1.2.0-3f9c` becomes `1_2e2_2e0-3f9c`. Different releases never get the same name."""
    return "".join(
        byte.decode() if _PLAIN.fullmatch(byte) else f"_{byte[0]:02x}"
        for byte in (bytes([number]) for number in release.encode())
    )


def decode(name: str) -> str:
    """The release's name again."""
    return unquote_to_bytes(name.replace("_", "%")).decode()


def standing_by(standby: str, release: str) -> str:
    """The statistics name of `standby` in its role for `release`."""
    return f"{encode(standby)}{STANDING_BY}{encode(release)}"


def pinned(release: str) -> str:
    """The statistics name of what testers ask of the release."""
    return f"{encode(release)}{PINNED}"


def parts(name: str) -> tuple[str, str | None]:
    """The release whose replicas these are, and the release they stand by for, if they do."""
    own, _, other = name.partition(STANDING_BY)
    return decode(own), decode(other) if other else None
