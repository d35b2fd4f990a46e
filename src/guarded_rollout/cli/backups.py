"""`rollout backup create | verify | drill | list | prune`."""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.configuration import environments
from guarded_rollout.cli.rollouts import begin_and_follow, refuse_if_active
from guarded_rollout.cli.screen import OnScreen
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.fact_text import size_text
from guarded_rollout.core.plan import Kind, make_plan
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.report import plan_lines
from guarded_rollout.core.retention import Backup, expired
from guarded_rollout.core.spec import Spec, no_release
from guarded_rollout.engine.drill import Drill
from guarded_rollout.engine.finishing import prune_backups
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Ports


def create(args: argparse.Namespace) -> int:
    """Write one, verify it, and remove what is expired."""
    screen, places = args.screen, Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=True)
    refuse_if_active(args, places, journal)
    situation = read_situation(journal, args.env)
    release = situation.serving or no_release(spec.service.name)
    plan = make_plan(Kind.BACKUP, spec, release, situation)
    if args.dry_run:
        ports = open_ports(places, spec, journal)
        screen.lines(plan_lines(plan))
        there = ports.database.exists()
        screen.line(f"  database {ports.database.url() if there else 'none yet'}")
        old = _expired(args, ports, args.retention_days) if args.retention_days is not None else ()
        for backup in old:
            screen.line(f"would remove {backup.file}")
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, "environment": args.env, "database": there})
        return 0
    code = begin_and_follow(args, places, open_journal(places), plan)
    if code == 0 and args.retention_days is not None:
        _prune(args, spec)
    return code


def verify(args: argparse.Namespace) -> int:
    """Checksum, every member, the dump inside, row counts."""
    screen, places = args.screen, Places(args.root)
    args.env = args.env or _environment_of(args.file, places)
    spec = spec_for(args, places)
    ports = open_ports(places, spec, open_journal(places, look_only=True))
    file = args.file or _newest(ports, args.env)
    if args.restore:
        return _drill(args, ports, places.root / file)
    backup = ports.archive.verify(places.root / file, args.env, ports.database)
    rows = ", ".join(f"{table} {count}" for table, count in sorted(backup.rows.items()))
    screen.line(f"{backup.file} is sound: {size_text(backup.size)}, rows: {rows or 'none'}")
    screen.document(asdict(backup))
    return 0


def drill(args: argparse.Namespace) -> int:
    """The newest backup, restored into a scratch database and compared. For a timer."""
    places = Places(args.root)
    ports = open_ports(places, spec_for(args, places), open_journal(places, look_only=True))
    return _drill(args, ports, places.root / _newest(ports, args.env))


def _drill(args: argparse.Namespace, ports: Ports, file: Path) -> int:
    drill = Drill(ports.archive, ports.database, ports.clock, args.env)
    done = drill.run(file, OnScreen(args.screen))
    compared = "rows and contents" if done.hashed else "rows (of another server version)"
    args.screen.line(
        f"{done.backup.file} was restored into a scratch database and compared: {compared} of "
        f"{len(done.backup.rows)} tables, {done.rows} rows, {done.seconds:.1f} s"
    )
    args.screen.document(
        {**asdict(done.backup), "restored": True, "hashed": done.hashed, "seconds": done.seconds}
    )
    return 0


def _newest(ports: Ports, environment: str) -> str:
    mine = [backup for backup in ports.archive.backups() if backup.environment == environment]
    if not mine:
        raise NotPossible(
            f"there is no backup of {environment}", f"rollout backup create --env {environment}"
        )
    return mine[0].file


def _environment_of(file: str | None, places: Places) -> str:
    """What the file's name says, for a person who names the file only. Its manifest decides."""
    named = environments(places.root) if file is not None else ()
    return next((name for name in named if f"_{name}_" in Path(file or "").name), "staging")


def show(args: argparse.Namespace) -> int:
    """All backups, newest first."""
    screen, places = args.screen, Places(args.root)
    ports = open_ports(places, spec_for(args, places), open_journal(places, look_only=True))
    mine = [b for b in ports.archive.backups() if b.environment == args.env]
    for backup in mine:
        sound = "checksum ok" if backup.verified else "CHECKSUM DOES NOT FIT"
        made = datetime.fromtimestamp(backup.created, UTC)
        screen.line(
            f"{backup.file}  {made:%Y-%m-%d %H:%M:%S} UTC  {size_text(backup.size)}  {sound}"
        )
    if not mine:
        screen.line(f"no backup of {args.env}")
    screen.document([asdict(backup) for backup in mine])
    return 0


def prune(args: argparse.Namespace) -> int:
    """Remove what is older than the retention; never the newest verified one."""
    return _prune(args, spec_for(args, Places(args.root)))


def _prune(args: argparse.Namespace, spec: Spec) -> int:
    screen, places = args.screen, Places(args.root)
    ports = open_ports(places, spec, open_journal(places, look_only=True))
    keep = spec.environment.retention_days if args.retention_days is None else args.retention_days
    old = _expired(args, ports, keep) if args.dry_run else prune_backups(ports, args.env, keep)
    for backup in old:
        screen.line(f"{'would remove' if args.dry_run else 'removed'} {backup.file}")
    screen.line(f"{len(old)} backups of {args.env} older than {keep:g} days")
    if args.dry_run:
        screen.line("dry run: nothing was changed")
    screen.document(
        {"dry_run": args.dry_run, "keep_days": keep, "removed": [backup.file for backup in old]}
    )
    return 0


def _expired(args: argparse.Namespace, ports: Ports, keep: float) -> tuple[Backup, ...]:
    return expired(ports.archive.backups(), args.env, ports.clock.now(), keep)
