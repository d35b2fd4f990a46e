"""The proof before production is touched: the backup comes back, the schema goes up and down.

On a scratch database that is filled from the backup:
    compared with the backup
    up, down, compared: the way down loses nothing
    up again; the new release, then the old one, start on it and pass their smoke checks
    down again, with the rows that both have written

The new release goes first, so that the old one meets rows of the new one, as after a return.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.migration_findings import Finding
from guarded_rollout.core.plan import Way
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.schema_safety import breaks_old_release, refused
from guarded_rollout.core.spec import Migrations, Release, Tier
from guarded_rollout.core.sql import normal
from guarded_rollout.engine.drill import compare, filled
from guarded_rollout.engine.launching import built_release, launch
from guarded_rollout.engine.order import Order, backup_file
from guarded_rollout.engine.readiness import wait_for_trial
from guarded_rollout.engine.smoke import asked_at, checks_of, must_pass
from guarded_rollout.engine.statements import MOST
from guarded_rollout.ports import Built, Control, Migrator, Ports, Ran, Scratch, Table

PURPOSE = "rehearse"
SHOWN = 200
MARK = ("GUARDED_ROLLOUT_REHEARSAL", "1")
"""In the environment of a release on trial: send no mail, call nobody."""


def rehearse(order: Order, ports: Ports, control: Control) -> Outcome:
    """What was proven.

    Broken when the backup does not come back, or the migration or the new release does not work;
    NotPossible when a statement would stop users for long.
    """
    spec = order.plan.spec
    file = backup_file(order, ports)
    with ports.archive.unpacked(file, spec.environment.name, ports.database) as found:
        if found.dump is None:
            return {**_UNCHANGED, "note": "there is no database yet", "restored": None}
        control.say("restoring the backup into a scratch database")
        with filled(ports.database, PURPOSE, found.dump, control) as scratch:
            _compare(order, scratch, found.dump, found.backup, control)
            rows = found.backup.rows
            restored = {"rows": sum(rows.values()), "tables": len(rows)}
            built = built_release(ports, order.plan.candidate)
            if spec.service.migrations is None or built.head == scratch.revision():
                return {**_UNCHANGED, "note": "the schema stays as it is", "restored": restored}
            migrator = ports.migrator.on(scratch)
            before = scratch.fingerprint(control)
            moves = _Moves(scratch, migrator, built, spec.service.migrations, control, before)
            return {**_Rehearsal(order, ports, control, moves).run(), "restored": restored}


_UNCHANGED: Outcome = {"pending": False, "ways": [Way.FLIP, Way.RESTORE], "because": {}}


def _compare(order: Order, scratch: Scratch, dump: Path, backup: Backup, control: Control) -> None:
    """The proof of the backup: it came back as what it says that it is."""
    control.say("comparing every table with the backup")
    compared = compare(backup, dump, scratch, control)
    if compared.problems:
        raise Broken(
            f"{backup.file} does not come back as it was: {'; '.join(compared.problems)}",
            "do not rely on it: keep it for study, check disk and memory, then deploy again",
        )
    if scratch.revision() != order.plan.schema_before:
        raise Broken(
            f"the backup's schema is at {scratch.revision()}, and when the plan was made it was "
            f"at {order.plan.schema_before}",
            "somebody else migrated, or the backup is an older one; deploy again, with a new one",
        )


@dataclass(slots=True)
class _Moves:
    """The migration, up and down on the scratch database. `before`: what was in its tables."""

    scratch: Scratch
    migrator: Migrator
    built: Built
    migrations: Migrations
    control: Control
    before: Mapping[str, Table]
    came_from: str | None = field(init=False)
    schema: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.came_from, self.schema = self.scratch.revision(), self.scratch.schema()

    def up(self) -> tuple[Ran, ...]:
        return self.migrator.up(self.built, self.migrations, self.control)

    def down(self) -> str | None:
        """Down, on rows that nobody touched. What is wrong with it; None: all is as before."""
        problem = self._down()
        if problem is not None:
            return problem
        now = self.scratch.fingerprint(self.control)
        names = {*self.before, *now}
        changed = sorted(name for name in names if self.before.get(name) != now.get(name))
        return f"up and down again changes the rows of {', '.join(changed)}" if changed else None

    def down_with_new_rows(self) -> str | None:
        """Down, after releases have written on the new schema: it must keep every row."""
        written = self.scratch.rows()
        problem = self._down()
        if problem is not None:
            return problem
        kept = self.scratch.rows()
        lost = sorted(name for name in self.before if kept.get(name, 0) < written.get(name, 0))
        return f"the way down loses rows of {', '.join(lost)}" if lost else None

    def _down(self) -> str | None:
        try:
            self.migrator.down(self.built, self.migrations, self.came_from, self.control)
        except Broken as broken:
            return broken.why.what
        differ = sorted({*map(normal, self.schema)} ^ {*map(normal, self.scratch.schema())})
        shown = "; ".join(f"{text[:SHOWN]}..." if len(text) > SHOWN else text for text in differ)
        return f"the way down leaves another schema: {shown}" if differ else None


@dataclass(slots=True)
class _Rehearsal:
    """`because`: per way back that there is not, why."""

    order: Order
    ports: Ports
    control: Control
    moves: _Moves
    because: dict[Way, str] = field(default_factory=dict)

    def run(self) -> Outcome:
        moves, plan = self.moves, self.order.plan
        ran = moves.up()
        findings = self._lint(ran)
        self._no_way(Way.DOWN, moves.down())
        moves.up()
        self._try(plan.candidate)
        if plan.baseline is not None and plan.baseline != plan.candidate:
            try:
                self._try(plan.baseline)
            except Broken as broken:
                self._no_way(Way.FLIP, broken.why.what)
        if Way.DOWN not in self.because:
            self._no_way(Way.DOWN, moves.down_with_new_rows())
        ways = [way for way in (Way.FLIP, Way.DOWN) if way not in self.because]
        return {
            "pending": True,
            "from": moves.came_from,
            "to": moves.built.head,
            "ways": [*ways, Way.RESTORE],
            "because": self.because,
            "statements": msgspec.to_builtins(ran[:MOST]),
            "statements_in_all": len(ran),
            "findings": msgspec.to_builtins(findings),
        }

    def _lint(self, ran: tuple[Ran, ...]) -> tuple[Finding, ...]:
        """Of the statements that really ran, against the tables that they are meant for."""
        sql = ";\n".join(one.sql for one in ran)
        findings = self.ports.lint.lint(sql, self.ports.database.tables())
        stops = refused(findings, forward_only=True)
        if stops:
            raise NotPossible(
                "; ".join(f"{one.why}: {one.statement}" for one in stops),
                "; ".join(sorted({one.recipe for one in stops})),
            )
        for one in breaks_old_release(findings):
            self._no_way(Way.FLIP, f"{one.why}: {one.statement}")
        return findings

    def _no_way(self, way: Way, why: str | None) -> None:
        if why is not None:
            self.because[way] = f"{self.because[way]}; {why}" if way in self.because else why

    def _try(self, release: Release) -> None:
        """Start one replica on the migrated scratch database, send it the critical checks."""
        spec = self.order.plan.spec
        whom = f"{release.name} on the schema of {self.order.plan.candidate.name}"
        self.control.say(f"trying {whom}")
        built = built_release(self.ports, release)
        ready = launch(self.ports, spec, built, self.moves.scratch)
        with self.ports.stage.try_out(replace(ready, env=(*ready.env, MARK))) as trial:
            wait_for_trial(self.ports, spec, whom, trial, self.control)
            old = release != self.order.plan.candidate
            checks = checks_of(spec.service, Tier.CRITICAL, rolled_back=old)
            asked = asked_at(spec, trial.socket(), release)
            must_pass(self.ports, asked, whom, checks, trial.log())
