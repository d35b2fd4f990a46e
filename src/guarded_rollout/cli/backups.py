"""`rollout backup create | verify | drill | list | prune`."""

import argparse
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.cli.rollouts import begin_and_follow, spec_for
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.plan import Kind, make_plan
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.report import plan_lines, size_text
from guarded_rollout.core.retention import Backup, expired
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.drill import Drill
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Ports


@dataclass(frozen=True, slots=True)
class OnScreen:
    """Progress goes to the screen; Ctrl-C stops in its own way."""

    screen: Screen

    def stopped(self) -> bool:
        """Never asked to."""
        return False

    def say(self, text: str) -> None:
        """One line."""
        self.screen.line(f"  {text}")


def create(args: argparse.Namespace) -> int:
    """Write one, verify it, and remove what is expired."""
    screen, places = Screen(as_json=args.json), Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=args.dry_run)
    situation = read_situation(journal, args.env)
    release = situation.serving or Release(spec.service.name, "none", "0" * 64)
    plan = make_plan(Kind.BACKUP, spec, release, situation)
    if args.dry_run:
        ports = open_ports(places, spec, journal)
        screen.lines(plan_lines(plan))
        there = ports.database.exists()
        screen.line(f"  database {ports.database.url() if there else 'none yet'}")
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, "environment": args.env, "database": there})
        return 0
    code = begin_and_follow(args, screen, places, journal, plan)
    if code == 0 and args.retention_days is not None:
        _prune(args, screen, args.retention_days)
    return code


def verify(args: argparse.Namespace) -> int:
    """Checksum, every member, the dump inside, row counts."""
    screen, places = Screen(as_json=args.json), Places(args.root)
    spec = spec_for(args, places)
    ports = open_ports(places, spec, open_journal(places, look_only=True))
    file = args.file if args.file is not None else _newest(ports, args.env)
    if args.restore:
        return _drill(args, screen, ports, places.root / Path(file))
    backup = ports.archive.verify(places.root / Path(file), args.env, ports.database)
    rows = ", ".join(f"{table} {count}" for table, count in sorted(backup.rows.items()))
    screen.line(f"{backup.file} is sound: {size_text(backup.size)}, rows: {rows or 'none'}")
    screen.document(_document(backup))
    return 0


def drill(args: argparse.Namespace) -> int:
    """The newest backup, restored into a scratch database and compared. For a timer."""
    screen, places = Screen(as_json=args.json), Places(args.root)
    ports = open_ports(places, spec_for(args, places), open_journal(places, look_only=True))
    return _drill(args, screen, ports, places.root / _newest(ports, args.env))


def _drill(args: argparse.Namespace, screen: Screen, ports: Ports, file: Path) -> int:
    drill = Drill(ports.archive, ports.database, ports.clock, args.env)
    done = drill.run(file, OnScreen(screen))
    compared = "rows and contents" if done.hashed else "rows (it is too old to compare contents)"
    screen.line(
        f"{done.backup.file} was restored into a scratch database and compared: {compared} of "
        f"{len(done.backup.rows)} tables, {done.rows} rows, {done.seconds:.1f} s"
    )
    screen.document(
        {**_document(done.backup), "restored": True, "hashed": done.hashed, "seconds": done.seconds}
    )
    return 0


def _newest(ports: Ports, environment: str) -> str:
    mine = [backup for backup in ports.archive.backups() if backup.environment == environment]
    if not mine:
        raise NotPossible(
            f"there is no backup of {environment}", f"rollout backup create --env {environment}"
        )
    return mine[0].file


def show(args: argparse.Namespace) -> int:
    """All backups, newest first."""
    screen, places = Screen(as_json=args.json), Places(args.root)
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
    screen.document([_document(backup) for backup in mine])
    return 0


def prune(args: argparse.Namespace) -> int:
    """Remove what is older than the retention; never the newest verified one."""
    return _prune(args, Screen(as_json=args.json), args.retention_days)


def _prune(args: argparse.Namespace, screen: Screen, days: float | None) -> int:
    places = Places(args.root)
    spec = spec_for(args, places)
    ports = open_ports(places, spec, open_journal(places, look_only=True))
    keep = spec.environment.retention_days if days is None else days
    old = expired(ports.archive.backups(), args.env, ports.clock.now(), keep)
    for backup in old:
        if not args.dry_run:
            ports.archive.remove(backup)
        screen.line(f"{'would remove' if args.dry_run else 'removed'} {backup.file}")
    screen.line(f"{len(old)} backups of {args.env} older than {keep:g} days")
    return 0


def _document(backup: Backup) -> dict[str, object]:
    return asdict(backup)
