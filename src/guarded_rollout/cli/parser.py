"""What all commands share: how words are parsed, common options, usage errors."""

import argparse
import math
import textwrap
from typing import NoReturn, TypeAlias

from guarded_rollout.core.problems import BadInput

UNEXPECTED = 3
INTERRUPTED = 130
CLOSED = 141

EXIT_CODES = """exit codes:
  0         done
  1         usage or environment: nothing was changed
  2         rolled back safely
  3         needs a person
  130, 141  you stopped looking (Ctrl-C, closed pipe); a begun rollout goes on
"""

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name


class Usage(BadInput):
    """The words do not make a command. `usage`: argparse's own summary."""

    def __init__(self, what: str, hint: str, usage: str, program: str) -> None:
        super().__init__(what, hint)
        self.usage = usage
        self.program = program


class Parser(argparse.ArgumentParser):
    """Never ends the process for an error: argparse's exit code 2 means "rolled back" here.

    Options are written in full. An abbreviation would change its meaning with a new option.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(
            **options,  # type: ignore[arg-type]  # handed on as they come
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise Usage."""
        hint = f"{self.prog} --help"
        if "required: --env" in message:
            hint = f"it changes something, so say where: {self.prog} --env staging"
        raise Usage(message, hint, self.format_usage(), self.prog)


def command(  # noqa: PLR0917 - a table row
    commands: "Commands",
    name: str,
    run: str,
    about: str,
    examples: str,
    environment: str | None = None,
    *,
    some: bool = False,
) -> argparse.ArgumentParser:
    """A subcommand. `environment` None: --env is required, because it changes something.

    `some`: it works on every environment, and --env names one of them.
    """
    parser = commands.add_parser(
        name,
        help=about,
        description=textwrap.fill(about, 78),
        epilog=f"examples:\n{examples}\n\n{EXIT_CODES}",
    )
    looks_only = environment is not None
    parser.set_defaults(run=run, looks_only=looks_only)
    default = " (default: all)" if some else f" (default: {environment})" if looks_only else ""
    parser.add_argument(
        "--env",
        required=not looks_only and not some,
        default=environment,
        type=word,
        metavar="ENVIRONMENT",
        help=f"production, staging, canary, development, or another of rollout.toml{default}",
    )
    parser.add_argument(
        "--root", type=word, metavar="FOLDER", help="the folder of rollout.toml; default: upwards"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on standard output, for errors too; words on standard error",
    )
    parser.add_argument("--verbose", action="store_true", help="show tracebacks; so does DEBUG=1")
    return parser


def word(text: str) -> str:
    """An unset variable of a script must not mean the default."""
    if not sentence(text):
        raise argparse.ArgumentTypeError("it is empty")
    return text


def sentence(text: str) -> str:
    """One line that the journal can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8") from None
    return " ".join(text.split())


def given_reason(text: str) -> str:
    """A reason that must be there."""
    return sentence(word(text))


def days(text: str) -> float:
    """Zero is allowed: the newest verified backup stays in any case."""
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 <= days < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: write 14 or 0.5")
    return days


def timeout(text: str) -> float:
    """Seconds, or text with a unit."""
    from guarded_rollout.adapters.configuration.durations import (
        Unclear,
        seconds,
    )

    try:
        found = seconds(text, 1.0)
    except Unclear as unclear:
        raise argparse.ArgumentTypeError(f"{unclear}; {unclear.hint}") from None
    if found <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all: write 600, 600s or 10m")
    return found


def dry_run(parser: argparse.ArgumentParser, does: str = "print the plan, touch nothing") -> None:
    """Add the option."""
    parser.add_argument("--dry-run", action="store_true", help=does)


def detach(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--detach", action="store_true", help="do not follow; the guard goes on")


def crowd(text: str) -> int:
    """How many processes or lines."""
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 2 to 10000")
    return int(text)


def junit(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--junit", type=word, metavar="FILE", help="write a JUnit XML report there too"
    )


def forward_only(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--forward-only",
        type=given_reason,
        metavar="WHY",
        help="deploy although the old release does not live with the new schema; written down",
    )


def release_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides what a deploy does, and so what is signed off."""
    parser.add_argument(
        "--source", type=word, metavar="FOLDER", help="build from here, not from rollout.toml"
    )
    forward_only(parser)
    backup = parser.add_mutually_exclusive_group()
    backup.add_argument(
        "--skip-backup", action="store_true", help="use a verified backup of the last 24 hours"
    )
    backup.add_argument("--backup-first", action="store_true", help="accepted: it always does")
    parser.add_argument(
        "--config", type=word, metavar="FILE", help="quality gates, instead of the root's file"
    )
    parser.add_argument(
        "--duration", metavar="MINUTES", help="watch so long: 60, 60m, 3600s, 1h; not the file's"
    )


def without_signoffs(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--without-signoffs",
        type=given_reason,
        metavar="WHY",
        help="in an emergency: go on though sign-offs are missing; written down, people are told",
    )


def reason(parser: argparse.ArgumentParser, *, default: str | None = "") -> None:
    """Add the option. `default` None: required."""
    parser.add_argument(
        "--reason",
        required=default is None,
        default=default,
        type=given_reason if default is None else sentence,
        metavar="WHY",
        help="for the journal",
    )


def group(commands: "Commands", name: str, about: str) -> "Commands":
    """A command whose next word says what to do."""
    parser = commands.add_parser(name, help=about, description=about, epilog=EXIT_CODES)
    return parser.add_subparsers(
        dest="action", required=True, parser_class=Parser, metavar="ACTION"
    )
