"""Commands for rows that a restore set aside."""

import argparse

from guarded_rollout.cli.screen import OnScreen
from guarded_rollout.cli.spec import spec_or_frozen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.changes import counted
from guarded_rollout.core.fact_text import lost_lines
from guarded_rollout.core.problems import NeedsPerson, NotPossible

SHOWN = 20


def reapply(args: argparse.Namespace) -> int:
    """`rollout backup reapply`: all of it, or nothing and what does not fit."""
    places, screen = Places(args.root), args.screen
    journal = open_journal(places, look_only=True)
    spec = spec_or_frozen(args, places, journal, screen)
    ports = open_ports(places, spec, journal)
    file = ports.root / args.file
    with ports.aside.read(file, args.env) as (note, changes):
        screen.line(f"{args.file}: set aside by {note.by} before {note.backup} was put back")
        if args.dry_run:
            rows = counted(changes)
            screen.lines([f"  {text}" for text in lost_lines(rows)])
            screen.line("dry run: nothing was changed")
            screen.document({"dry_run": True, "file": args.file, "rows": rows})
            return 0
        applied = ports.database.apply(changes, OnScreen(screen), whole=not args.what_fits)
    screen.line(
        f"  {applied.added} rows added, {applied.changed} changed, {applied.removed} removed"
    )
    screen.lines([f"  does not fit: {text}" for text in applied.conflicts[:SHOWN]])
    if len(applied.conflicts) > SHOWN:
        screen.line(f"  and {len(applied.conflicts) - SHOWN} more: --json names all of them")
    if applied.left_out:
        screen.line(f"  columns that are not there, left out: {', '.join(applied.left_out)}")
        screen.line("  the file keeps them: reapply it again when the release that has them serves")
    screen.document(
        {
            "file": args.file,
            "added": applied.added,
            "changed": applied.changed,
            "removed": applied.removed,
            "conflicts": list(applied.conflicts),
            "left_out": list(applied.left_out),
        }
    )
    if applied.conflicts and args.what_fits:
        raise NeedsPerson(
            f"{len(applied.conflicts)} rows of {args.file} do not fit any more; the others are in",
            "each is named with the reason; the file keeps them",
        )
    if applied.conflicts:
        raise NotPossible(
            f"{len(applied.conflicts)} rows of {args.file} do not fit any more; nothing came back",
            "mend what is named, or bring back the others with --what-fits: no row comes back to "
            "a stranger, but some without others that belong to them",
        )
    return 0
