"""What the commands about gates take, and how its numbers and times are typed."""

import argparse
import math
from datetime import UTC, datetime

from guarded_rollout.cli.parser import Commands, command, group, word


def rate(text: str) -> float:
    """Requests per second."""
    return _number(text, 1e6, "rate: write 50 or 0.2 requests per second")


def percent(text: str) -> float:
    """More than nothing, at most 100; a percent sign is fine."""
    return _number(text.strip().removesuffix("%"), 100.0, "share: write 5 or 0.5, in percent")


def moment(text: str) -> float:
    """A time as Unix seconds, or as 2026-11-21T17:00:00Z; without a zone it is UTC."""
    hint = "write 2026-11-21T17:00:00Z or Unix seconds"
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {hint}") from None


def _number(text: str, most: float, wanted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}")
    return number


def add_gates(commands: Commands) -> None:
    """The group `gates`."""
    actions = group(commands, "gates", "check, replay, measure and learn the gates; only looks")
    check = command(
        actions,
        "check",
        "gates:check",
        "read the gates file for every environment and say what is wrong with it",
        "  rollout gates check\n  rollout gates check stricter-gates.json --env production",
        "all",
    )
    check.add_argument(
        "file", nargs="?", type=word, metavar="FILE", help="default: quality-gates-config.json"
    )
    replay = command(
        actions,
        "replay",
        "gates:replay",
        "judge a recorded rollout again: when each gate fires, by the gates it ran with or others",
        "  rollout gates replay --env production\n"
        "  rollout gates replay --env production --gates stricter-gates.json",
        "staging",
    )
    replay.add_argument(
        "rollout", nargs="?", type=word, metavar="ROLLOUT", help="default: the newest watched one"
    )
    replay.add_argument(
        "--gates", type=word, metavar="FILE", help="judge by this file, not by its own gates"
    )
    replay.add_argument(
        "--prometheus", type=word, metavar="URL", help="judge a range of time of a Prometheus"
    )
    replay.add_argument(
        "--from", type=moment, metavar="TIME", help="2026-11-21T17:00:00Z, or Unix seconds"
    )
    replay.add_argument("--to", type=moment, metavar="TIME", help="the same")
    replay.add_argument(
        "--queries", type=word, metavar="FILE", help="PromQL: docs/reference/gates.md"
    )
    power = command(
        actions,
        "power",
        "gates:power",
        "simulate what the gates find at this traffic, how soon and at what price; propose the "
        "stages of a canary",
        "  rollout gates power --env production\n"
        "  rollout gates power --requests-per-second 50 --share 5 --failures 0.5",
        "staging",
    )
    power.add_argument(
        "--requests-per-second", type=rate, metavar="N", help="default: the newest watched rollout"
    )
    power.add_argument(
        "--share",
        type=percent,
        metavar="PERCENT",
        help="of the requests that the candidate gets; default: the environment's first stage",
    )
    power.add_argument(
        "--failures",
        type=percent,
        metavar="PERCENT",
        help="of the requests that fail usually; default: the newest watched rollout",
    )
    command(
        actions,
        "suggest",
        "gates:suggest",
        "limits, margin and dispersion from the rollouts that ended well, as JSON to paste",
        "  rollout gates suggest --env production",
        "staging",
    )
