"""`rollout audit verify | export`: whether the journal was changed, and its trail for auditors."""

import argparse
from dataclasses import asdict
from pathlib import Path

from guarded_rollout.cli.journal import EVERY
from guarded_rollout.cli.journal_place import open_to_look
from guarded_rollout.cli.screen import error_document, write_out
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.audit_trail import Trail, differs, trail
from guarded_rollout.core.problems import BadInput, NeedsPerson
from guarded_rollout.core.summed_lines import BadLine
from guarded_rollout.engine.incidents import utc


def verify(args: argparse.Namespace) -> int:
    """Walk the hash chain of the whole journal, or check a file of `audit export`."""
    places = Places(args.root)
    if args.file:
        return _verify_file(args, places, Path(args.file))
    journal = open_to_look(places.journal)
    audit = journal.verify()
    if audit.broken_at is not None or audit.problem is not None:
        where = f" (entry {audit.broken_at})" if audit.broken_at is not None else ""
        problem = NeedsPerson(
            f"the journal {places.journal} was changed: {audit.problem}{where}",
            "keep the file as evidence, and restore it from a copy",
        )
        args.screen.document(
            {**asdict(audit), "error": error_document(problem.why, problem.exit_code)}
        )
        raise problem
    if args.head is not None and not journal.has(args.head):
        raise NeedsPerson(
            f"the journal {places.journal} has no entry {args.head}: it is another one, or its "
            f"last entries were cut off (it ends at {audit.head})",
            "keep the file as evidence, and restore it from a copy",
        )
    if not _there(places):
        args.screen.line(f"there is no journal yet at {places.journal}")
    else:
        args.screen.line(
            f"the journal is whole: {audit.entries} entries, {audit.rollouts} rollouts, "
            f"head {audit.head}"
        )
    args.screen.document(asdict(audit))
    return 0


def export(args: argparse.Namespace) -> int:
    """Write the trail to standard output. Broken: the journal was changed."""
    environment = None if args.env == EVERY else args.env
    journal = open_to_look(Places(args.root).journal)
    write_out(trail(journal.lines(environment), utc, environment))
    return 0


def _there(places: Places) -> bool:
    return places.journal.shared or places.journal.file.exists()


def _verify_file(args: argparse.Namespace, places: Places, path: Path) -> int:
    journal = open_to_look(places.journal) if _there(places) else None
    count = 0
    try:
        with path.open("rb") as lines:
            file = Trail(lines)
            count = sum(1 for _ in file.entries())
        found = None
        if journal is not None:
            with path.open("rb") as lines:
                file = Trail(lines)
                found = differs(file, journal.lines(file.environment), utc)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror}", "name a file of rollout audit export"
        ) from error
    except BadLine as bad:
        raise NeedsPerson(
            f"{path}:{bad.number}: this line {bad.what}",
            "it was made by rollout audit export: ask for it once more, and for the reason",
        ) from None
    if found is not None:
        entry, what = found
        raise NeedsPerson(
            f"{path} and the journal {places.journal} differ at entry {entry}: {what}",
            "one of them was changed: keep both, and look into a third copy",
        )
    against = f"as in the journal {places.journal}" if journal else "compared with no journal"
    args.screen.line(f"{path} is whole: {count} entries, {against}")
    args.screen.document({"entries": count, "head": file.head, "compared": journal is not None})
    return 0
