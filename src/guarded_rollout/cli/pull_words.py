"""The words of `rollout pr body | check | protect`."""

import argparse

from guarded_rollout.cli.parser import Commands, command, dry_run, group, word


def _evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pr", type=_number, metavar="N", help="default: the one of the commit checked out"
    )
    parser.add_argument(
        "--artifacts", type=word, default="premerge_artifacts", metavar="FOLDER", help="of premerge"
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody: the artifacts alone")
    _branch(parser)


def _branch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--branch", type=word, default="main", metavar="BRANCH", help="main")
    parser.add_argument(
        "--owners",
        nargs="+",
        type=word,
        metavar="OWNER",
        help="@login or @organisation/team; default: the logins of ops in [signoffs.people]",
    )


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a pull request")
    return int(text)


def add_pulls(commands: Commands) -> None:
    """Add all of them."""
    actions = group(commands, "pr", "what a pull request must have before it is merged")
    written = command(
        actions,
        "body",
        "pulls:body",
        "the pull request's text: the template, ticked where it is proven, with digests and links",
        "  rollout pr body --out pr-body.md\n  rollout pr body --offline",
        "production",
    )
    written.add_argument("--out", type=word, metavar="FILE", help="default: the screen")
    written.add_argument(
        "--title", type=word, metavar="TEXT", help="default: the commit's first line"
    )
    _evidence(written)
    checked = command(
        actions,
        "check",
        "pulls:check",
        "prove every item of the checklist from the artifacts and from GitHub",
        "  rollout pr check\n  rollout pr check --pr 12 --json\n  rollout pr check --offline",
        "production",
    )
    _evidence(checked)
    protect = command(
        actions,
        "protect",
        "protecting:protect",
        "require premerge's checks, two approvals and one of ops before anything is merged",
        "  rollout pr protect --dry-run\n"
        "  rollout pr protect --owners @acme/ops --write-owners\n"
        "  rollout pr protect --branch main --check 'premerge (ubuntu-latest)'",
        "production",
    )
    _branch(protect)
    protect.add_argument(
        "--check",
        action="append",
        type=word,
        metavar="NAME",
        help="a required check, more than once; default: the jobs of premerge.yml's newest run",
    )
    protect.add_argument(
        "--group", type=word, default="ops", metavar="GROUP", help="who must approve; default: ops"
    )
    protect.add_argument(
        "--write-owners", action="store_true", help="write CODEOWNERS, which is only shown else"
    )
    dry_run(protect, "show the differences, send and write nothing")
    protect.set_defaults(looks_only=False, when_interrupted="see what is set: --dry-run")
