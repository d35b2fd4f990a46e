"""The words of `rollout incident` and `rollout report`."""

import argparse
import math

from guarded_rollout.cli.parser import Commands, command, word


def add_papers(commands: Commands) -> None:
    """Add both commands."""
    incident = command(
        commands,
        "incident",
        "papers:incident",
        "show an incident, and write its files in incidents/ anew from the journal",
        "  rollout incident --env production\n"
        "  rollout incident --env production --rollout production-20260131-120000-1a2b3c",
        "staging",
    )
    _rollout(incident, "default: the newest that went back by itself, held or got stuck")
    incident.add_argument(
        "--issue",
        action="store_true",
        help="see to it that [notify.github] has its issue, if that did not work before",
    )
    report = command(
        commands,
        "report",
        "papers:report",
        "show the report of a deployment again, or what some days of watching say about the gates",
        "  rollout report --env production\n  rollout report tuning --env production --hours 24",
        "staging",
    )
    report.add_argument(
        "what",
        nargs="?",
        choices=["deployment", "tuning"],
        default="deployment",
        help="default: deployment",
    )
    _rollout(report, "default: the active one, or the newest")
    report.add_argument(
        "--hours", type=_hours, metavar="N", help="of tuning: how far back, default 72"
    )


def _rollout(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--rollout", type=word, metavar="ROLLOUT", help=about)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours: write 24 or 72")
    return hours
