"""`rollout journal export | import`: the journal as JSON lines, and from them."""

import argparse
from pathlib import Path

from guarded_rollout.adapters.journal.transfer import File
from guarded_rollout.cli.guard import guarded
from guarded_rollout.cli.journal_place import journal_place, note, open_to_look, open_to_write
from guarded_rollout.cli.screen import tell, write_out
from guarded_rollout.cli.wiring import Places

EVERY = "all"


def export(args: argparse.Namespace) -> int:
    """Write it to standard output. A rollout at work goes on writing elsewhere: said aloud."""
    places = Places(args.root)
    journal = open_to_look(places.journal)
    environment = None if args.env == EVERY else args.env
    write_out(journal.lines(environment))
    for name in sorted({known.environment for known in journal.known(environment)}):
        if guarded(journal, name):
            tell(f"warning: {name} is being worked on: what is written from now on is not in it")
    return 0


def take_in(args: argparse.Namespace) -> int:
    """Check a file whole, then write it into the empty journal that rollout.toml names."""
    places = Places(args.root)
    file = File(Path(args.file))
    file.check()
    place = journal_place(places.root, moves=True)
    news = open_to_write(place, places.locks).take_in(file)
    note(place)
    what = f"{file.entries} entries, head {file.head}"
    args.screen.line(f"{'imported' if news else 'it is there already'}: {what}")
    args.screen.line(f"  the journal is {place}; check it: rollout audit verify")
    args.screen.document({"entries": file.entries, "head": file.head, "imported": news})
    return 0
