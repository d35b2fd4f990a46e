"""The words of `rollout notify` and `rollout notify-deploy`."""

import argparse

from guarded_rollout.cli.parser import Commands, command, dry_run, word
from guarded_rollout.core.notice import TYPES

PHASES = {
    "start": "deploy-start",
    "success": "deploy-success",
    "failure": "deploy-failure",
    "failed": "deploy-failure",
    "error": "deploy-failure",
}
"""The phases of a deploy, and the types of their notices."""


def add_notices(commands: Commands) -> None:
    """Add both commands."""
    notify = command(
        commands,
        "notify",
        "notices:notify",
        "tell people on Slack, Teams, Discord, e-mail, PagerDuty, a webhook, the console or in a "
        "file; what cannot be delivered is kept in notifications_out/ with the reason",
        "  rollout notify --type deploy --env production --message 'Deployment complete'\n"
        "  rollout notify --type warning --message 'Closed at 6' --channels slack,email\n"
        "  rollout notify --type error --message test --dry-run\n"
        "  rollout notify check\n"
        "  rollout notify retry",
        "staging",
    )
    notify.add_argument(
        "action",
        nargs="?",
        choices=["send", "check", "retry"],
        default="send",
        help="check: lint the templates and the channels; retry: send what was kept or cut off "
        "once more (default: send)",
    )
    notify.add_argument("--type", type=_type, metavar="TYPE", help=", ".join(TYPES))
    notify.add_argument("--message", type=word_of_lines, metavar="TEXT", help="what happened")
    _add_content(notify)
    _add_sending(notify)

    deploy = command(
        commands,
        "notify-deploy",
        "notices:notify_deploy",
        "tell people about a deploy from a pipeline: its start, success or failure",
        "  rollout notify-deploy --phase start --env production --version v1.2.3\n"
        "  rollout notify-deploy success --env production --duration '5m 30s'\n"
        "  rollout notify-deploy failure --env staging --dry-run",
        "staging",
    )
    deploy.add_argument("phase_word", nargs="?", type=_phase, metavar="PHASE", help="as --phase")
    deploy.add_argument(
        "--phase", type=_phase, metavar="PHASE", help="start, success, failure (failed, error)"
    )
    deploy.add_argument(
        "--message", type=word_of_lines, metavar="TEXT", help="instead of a sentence of its own"
    )
    _add_content(deploy)
    _add_sending(deploy)


def _add_content(parser: argparse.ArgumentParser) -> None:
    content = parser.add_argument_group("content")
    for name, about in (
        ("--service", "which service"),
        ("--version", "of the release"),
        ("--initiator", "who began it"),
        ("--duration", "how long it took, as text"),
        ("--done", "what was done"),
        ("--now", "what a person should do now"),
        ("--rollout", "notices with the same one belong together"),
        ("--key", "the same key is not delivered twice; default: from the content, for 10 minutes"),
    ):
        content.add_argument(name, default="", metavar="TEXT", help=about)
    for name, about in (
        ("--evidence", "a line of evidence in numbers; may be repeated"),
        ("--look", "where to look: an https address, a path, a command; may be repeated"),
    ):
        content.add_argument(name, action="append", default=[], metavar="TEXT", help=about)


def _add_sending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channels",
        type=_channels,
        metavar="A,B",
        help="default: rollout.toml's, else the console and those whose variable is set",
    )
    dry_run(parser, "write it to notifications_out/, send nothing")
    parser.set_defaults(when_interrupted="what was not sent is sent by: rollout notify retry")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 3 when a channel was not reached"
    )


def word_of_lines(text: str) -> str:
    """Text that is not empty and may have several lines."""
    word(text)
    return text


def _type(text: str) -> str:
    if text not in TYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(TYPES)}")
    return text


def _phase(text: str) -> str:
    if text not in PHASES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PHASES)}")
    return PHASES[text]


def _channels(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("it is empty")
    return names
