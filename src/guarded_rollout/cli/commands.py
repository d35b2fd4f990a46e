"""The command line as a table: which commands there are; what they take is in `*_words`."""

from guarded_rollout import __version__
from guarded_rollout.cli.backup_words import add_backup
from guarded_rollout.cli.completion import add_completion
from guarded_rollout.cli.gate_words import add_gates
from guarded_rollout.cli.journal_words import add_audit, add_journal
from guarded_rollout.cli.looking_words import add_looking
from guarded_rollout.cli.notice_words import add_notices
from guarded_rollout.cli.paper_words import add_papers
from guarded_rollout.cli.parser import EXIT_CODES, Parser
from guarded_rollout.cli.pull_words import add_pulls
from guarded_rollout.cli.rollout_words import add_rollouts, add_steering
from guarded_rollout.cli.signoff_words import add_signoffs


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="rollout",
        description="Ship a release, watch it, put the old one back by itself if it misbehaves.",
        epilog=f"{EXIT_CODES}\nexamples:\n"
        "  rollout deploy --env staging --dry-run\n"
        "  rollout deploy --env production\n"
        "  rollout status --env production\n"
        "  rollout rollback --env production --reason 'slow since the deploy'\n",
    )
    parser.add_argument("--version", action="version", version=f"rollout {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, parser_class=Parser, metavar="COMMAND"
    )
    add_rollouts(commands)
    add_steering(commands)
    add_looking(commands)
    add_audit(commands)
    add_journal(commands)
    add_backup(commands)
    add_gates(commands)
    add_notices(commands)
    add_papers(commands)
    add_signoffs(commands)
    add_pulls(commands)
    add_completion(commands)
    return parser
