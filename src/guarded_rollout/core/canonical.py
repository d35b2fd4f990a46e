"""One spelling per value, so that equal values have equal bytes and equal digests."""

from typing import Any

import msgspec


def canonical(value: Any) -> bytes:  # noqa: ANN401 - any dataclass of the core
    """JSON with sorted keys, read back once: `30` in a float field is spelled `30.0`."""
    first = msgspec.json.encode(value, order="deterministic")
    typed = msgspec.json.decode(first, type=type(value))
    return msgspec.json.encode(typed, order="deterministic")
