"""The words of `rollout approve` and `rollout approvals`."""

from guarded_rollout.cli.parser import Commands, command, reason, release_options, word


def add_signoffs(commands: Commands) -> None:
    """Add both."""
    approve = command(
        commands,
        "approve",
        "signoffs:approve",
        "sign off what a deploy with the same options would do, with an SSH key",
        "  rollout approve --env production --show\n"
        "  rollout approve --env production --key ~/.ssh/id_ed25519 --reason 'for 1.4'",
    )
    release_options(approve)
    approve.add_argument(
        "--key", type=word, metavar="FILE", help="default: ~/.ssh/id_ed25519; .pub with an agent"
    )
    approve.add_argument(
        "--as", dest="who", type=word, metavar="NAME", help="default: whose account this is"
    )
    approve.add_argument(
        "--expires", type=word, metavar="TIME", help="24h, 90m; default and most: the policy's"
    )
    approve.add_argument(
        "--show", action="store_true", help="print what would be signed, sign nothing"
    )
    reason(approve)
    approvals = command(
        commands,
        "approvals",
        "signoffs:approvals",
        "who signed off what a deploy with the same options would do, and what is missing",
        "  rollout approvals --env production",
        "staging",
    )
    release_options(approvals)
