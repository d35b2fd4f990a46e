"""How the keys of the gates file may be written."""

import re

_ALIASES = {
    "extractionFailuresRate": "extractionFailureRate",
    "lowConfidenceQueueLength": "lowConfidenceQueue",
}


def camel(key: str) -> str:
    """The canonical spelling of a key: `time_window` is `timeWindow`."""
    spelled = re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), key)
    return _ALIASES.get(spelled, spelled)
