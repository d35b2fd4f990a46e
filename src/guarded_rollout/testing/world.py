"""A world in memory behind every port, for tests of the engine and of your own adapters' users.

It outlives controllers, as the real one does, and keeps a ledger of every effect.
"""

from dataclasses import dataclass, field
from pathlib import Path

from guarded_rollout.core.changes import Change
from guarded_rollout.core.migration_findings import Finding
from guarded_rollout.core.notice import Notice
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import Release
from guarded_rollout.ports import (
    AsideNote,
    Clock,
    Database,
    Route,
)
from guarded_rollout.testing import examples
from guarded_rollout.testing.copies import HeldCopy


@dataclass
class World:
    """What is there, what is broken, and what was done.

    Knobs: `fails` maps a verb (`"build"`, `"backup"`, `"migrate"`, `"route"`, ...) to the problem
    it raises; `sick` names releases that are not healthy, `dead` ones whose processes are gone;
    `failing` and `slow` are shares of requests per release name; `blind` stops the metrics;
    `printed` has the replicas that a release ever had: their logs are files in `root/printed`;
    `issues` has the news of each on the tracker, which is called `tracker`;
    `told` has (channel, notice) as they arrived on `channels`, except on those in `deaf`;
    `unfit` has releases that are not healthy on a schema; `findings` is what the lint says.
    """

    clock: Clock
    root: Path
    candidate: Release = examples.NEW
    fails: dict[str, Problem] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    failing: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    queue: float = 0.0
    blind: bool = False
    channels: tuple[str, ...] = ()
    deaf: set[str] = field(default_factory=set)
    built: set[Release] = field(default_factory=set)
    started: dict[str, tuple[Release, int]] = field(default_factory=dict)
    schema: str | None = "0001"
    head: str = "0002"
    things: dict[str, str] = field(default_factory=lambda: {"1": "a", "2": "b", "3": "c"})
    unfit: set[tuple[str, str]] = field(default_factory=set)
    findings: tuple[Finding, ...] = ()
    scratches: dict[str, Database] = field(default_factory=dict)
    trials: dict[str, str] = field(default_factory=dict)
    backups: list[Backup] = field(default_factory=list)
    dumps: dict[str, tuple[str | None, dict[str, str]]] = field(default_factory=dict)
    aside: dict[str, tuple[AsideNote, tuple[Change, ...]]] = field(default_factory=dict)
    copies: dict[str, dict[str, HeldCopy]] = field(default_factory=dict)
    told: list[tuple[str, Notice]] = field(default_factory=list)
    printed: dict[str, int] = field(default_factory=dict)
    issues: dict[str, list[str]] = field(default_factory=dict)
    tracker: str | None = None
    routed: Route | None = None
    proxy: bool = False
    ledger: list[str] = field(default_factory=list)

    def act(self, verb: str, what: str = "") -> None:
        """An effect: raise what the test asked for, or write it down."""
        if verb in self.fails:
            raise self.fails[verb]
        self.ledger.append(f"{verb} {what}".strip())

    def serving(self) -> str | None:
        """The release that users reach."""
        return self.routed.to.release if self.routed and self.routed.to else None
