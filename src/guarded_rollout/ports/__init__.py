"""The outside world, as the engine sees it. Each verb that changes something may be asked twice,
and has a verb that looks: after a crash the engine looks before it acts.

Verbs raise `problems.Broken` (the world failed), `problems.BadInput` (a file or value is wrong),
`problems.Busy` (somebody else is at it) or `problems.Interrupted` (`control.stopped()` was true).
Paths are absolute unless said otherwise; times are seconds.
"""

from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.ports.backups import (
    Archive,
    Aside,
    AsideNote,
    BackupRequest,
    Copies,
    Copy,
    Kept,
    Place,
    Unpacked,
)
from guarded_rollout.ports.clock import Clock, Control
from guarded_rollout.ports.databases import (
    Applied,
    Compared,
    Database,
    Dumped,
    Lint,
    Migrator,
    Ran,
    Scratch,
    Table,
)
from guarded_rollout.ports.host import Host, LogWriter, Rotated, Written
from guarded_rollout.ports.journal import Audit, Away, Behind, Entry, Holder, Journal, Known, Lease
from guarded_rollout.ports.people import Issue, Notices, Papers, SignOffs, Told, Tracker
from guarded_rollout.ports.releases import Builder, Built, Launch, Replica, Target
from guarded_rollout.ports.traffic import Arm, Route, Stage, Traffic, Trial
from guarded_rollout.ports.web import Address, Answered, Web

__all__ = [
    "Address",
    "Answered",
    "Applied",
    "Archive",
    "Arm",
    "Aside",
    "AsideNote",
    "Audit",
    "Away",
    "BackupRequest",
    "Behind",
    "Builder",
    "Built",
    "Clock",
    "Compared",
    "Control",
    "Copies",
    "Copy",
    "Database",
    "Dumped",
    "Entry",
    "Holder",
    "Host",
    "Issue",
    "Journal",
    "Kept",
    "Known",
    "Launch",
    "Lease",
    "Lint",
    "LogWriter",
    "Migrator",
    "Notices",
    "Papers",
    "Place",
    "Ports",
    "Ran",
    "Replica",
    "Rotated",
    "Route",
    "Scratch",
    "SignOffs",
    "Stage",
    "Table",
    "Target",
    "Told",
    "Tracker",
    "Traffic",
    "Trial",
    "Unpacked",
    "Web",
    "Written",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside, for one environment. `root` is the folder of rollout.toml."""

    root: Path
    clock: Clock
    journal: Journal
    builder: Builder
    target: Target
    stage: Stage
    traffic: Traffic
    database: Database
    migrator: Migrator
    lint: Lint
    archive: Archive
    aside: Aside
    copies: Copies
    web: Web
    host: Host
    notices: Notices
    tracker: Tracker
    papers: Papers
