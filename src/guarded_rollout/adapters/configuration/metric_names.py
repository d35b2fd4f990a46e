"""Names of metrics, as they are written in PromQL."""

import re

from guarded_rollout.adapters.configuration.located import Value, quoted

_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{\s*([A-Za-z_]\w*)\s*=\s*\"([^\"\\{}=]+)\"\s*\}")
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


def counter_with_label(value: Value) -> tuple[str, str]:
    """The counter's name, and `label=value` of what is bad."""
    selector = value.text()
    parts = _SELECTOR.fullmatch(selector)
    if parts is None:
        raise value.problem(
            f"{quoted(selector)} must be a counter with the one label that marks its failures",
            "write it as in PromQL: 'dhash_extractions_total{result=\"failed\"}'",
        )
    counter, label, failed = parts.groups()
    return counter, f"{label}={failed}"


def metric(value: Value) -> str:
    """A name without labels."""
    text = value.text()
    if _METRIC.fullmatch(text) is None:
        raise value.problem(
            f"{quoted(text)} is no name of a metric", "write the name alone, without labels"
        )
    if text.endswith("_bucket"):
        raise value.problem("names one bucket series", f"write {text.removesuffix('_bucket')}")
    return text
