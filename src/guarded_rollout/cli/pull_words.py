"""The words of `rollout pr body | check | protect`."""

from guarded_rollout.cli.parser import Commands, command, dry_run, group, word


def add_pulls(commands: Commands) -> None:
    """Add all of them."""
    actions = group(commands, "pr", "what a pull request must have before it is merged")
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
    protect.add_argument("--branch", type=word, default="main", metavar="BRANCH", help="main")
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
        "--owners",
        nargs="+",
        type=word,
        metavar="OWNER",
        help="@login or @organisation/team; default: the group's logins in [signoffs.people]",
    )
    protect.add_argument(
        "--write-owners", action="store_true", help="write CODEOWNERS, which is only shown else"
    )
    dry_run(protect, "show the differences, send and write nothing")
    protect.set_defaults(looks_only=False, when_interrupted="see what is set: --dry-run")
