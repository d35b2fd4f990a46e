"""`rollout pr protect`: a branch that takes nothing that was not checked and approved."""

import argparse
import difflib
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.cli.hub import open_hub
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.branch_protection import differences, may_go_around, wanted
from guarded_rollout.core.code_owners import PLACES, with_owners
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.core.pull_approvals import APPROVALS
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.github.protection import read_protection, set_protection
from guarded_rollout.github.repository import Repository
from guarded_rollout.github.runs import PREMERGE, jobs, newest_run


@dataclass(frozen=True, slots=True)
class _Owners:
    """CODEOWNERS as it is and as it must be. `file`: below the root."""

    file: str
    before: str
    after: str

    def lines(self) -> list[str]:
        """The difference."""
        both = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(*both, self.file, self.file, lineterm=""))


def protect(args: argparse.Namespace) -> int:
    """Show what differs; set it unless it is a dry run."""
    screen, places = args.screen, Places(args.root)
    policy = load_spec(places.root, args.env).environment.signoffs
    hub = open_hub(places, args.env)
    owners = _owners(places.root, args, policy)
    before = read_protection(hub, args.branch)
    approvals = max(APPROVALS, min(policy.needed, 6) if policy is not None else 0)
    after = wanted(before, args.check or _reported(hub), approvals)
    changes = differences(before, after)
    screen.line(f"{args.branch} of {hub.where.repository}")
    screen.lines([f"  {one}" for one in changes] or ["  is protected as it must be"])
    around = may_go_around(before)
    if around:
        screen.line(f"  WARNING  {', '.join(around)} may merge without reviews; that is left")
    screen.lines(owners.lines() or [f"{owners.file} is as it must be"])
    if args.dry_run:
        screen.line("dry run: nothing was sent, nothing was written")
    elif changes:
        set_protection(hub, args.branch, before, after)
        screen.line(f"{args.branch} is protected now")
    written = args.write_owners and not args.dry_run and owners.before != owners.after
    if written:
        write_text(places.root / owners.file, owners.after)
        screen.line(f"{owners.file} is written: commit it, it counts when it is in {args.branch}")
    elif owners.before != owners.after:
        screen.line(f"{owners.file} is not written: --write-owners does that")
    screen.document(
        {
            "branch": args.branch,
            "changes": [{"name": c.name, "before": c.before, "after": c.after} for c in changes],
            "sent": bool(changes) and not args.dry_run,
            "owners": {"file": owners.file, "text": owners.after, "written": written},
            "may_go_around": list(around),
        }
    )
    return 0


def owners_wanted(policy: SignOffPolicy | None, group: str) -> tuple[str, ...]:
    """The group's logins, as CODEOWNERS has them."""
    members = policy.people if policy is not None else ()
    return tuple(f"@{one.github}" for one in members if group in one.groups and one.github)


def owners_file(root: Path) -> tuple[str, str]:
    """The file that counts and its text; where there is none, where it would be."""
    for name in PLACES:
        try:
            return name, (root / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return PLACES[0], ""


def _owners(root: Path, args: argparse.Namespace, policy: SignOffPolicy | None) -> _Owners:
    owners = tuple(args.owners or owners_wanted(policy, args.group))
    if not owners:
        raise BadInput(
            f"nobody of {args.group} is known on GitHub",
            f"name them: --owners @organisation/team; or [signoffs.people.NAME] with "
            f'groups = ["{args.group}"] and github = "LOGIN", and sign-offs for {args.env}',
        )
    for owner in owners:
        if not owner.startswith("@") or len(owner.split()) != 1:
            raise BadInput(f"--owners: {owner!r} is no owner", "write @login or @organisation/team")
    name, before = owners_file(root)
    return _Owners(name, before, with_owners(before, owners, args.group))


def _reported(hub: Repository) -> tuple[str, ...]:
    """A check that never reports would close the branch for ever, so only names that did."""
    run = newest_run(hub, PREMERGE)
    if run is None:
        raise NotPossible(
            f"{PREMERGE} never ran in {hub.where.repository}: its checks have no names yet",
            "open a pull request first, or name them: --check NAME",
        )
    return tuple(sorted({job.name for job in jobs(hub, run)}))


def write_text(file: Path, text: str) -> None:
    """Whole or not at all, for everybody to read. Broken when it cannot be written."""
    try:
        file.parent.mkdir(exist_ok=True)
        write_whole(file, text.encode("utf-8", "replace"), 0o644)
    except OSError as error:
        raise Broken(
            f"{file} cannot be written: {error.strerror}", "let this user write there"
        ) from error
