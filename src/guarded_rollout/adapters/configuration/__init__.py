"""Configuration: rollout.toml, the gates file and the .conf files become one `core.spec.Spec`."""

from guarded_rollout.adapters.configuration.durations import minutes
from guarded_rollout.adapters.configuration.journal_section import SQLITE_JOURNAL, journal_address
from guarded_rollout.adapters.configuration.spec import environments, load_spec, with_duration

__all__ = [
    "SQLITE_JOURNAL",
    "environments",
    "journal_address",
    "load_spec",
    "minutes",
    "with_duration",
]
