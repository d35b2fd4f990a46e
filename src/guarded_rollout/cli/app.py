"""`rollout`: from words to a command, and from what went wrong to words and an exit code."""

import argparse
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.cli.commands import build_parser
from guarded_rollout.cli.parser import CLOSED, INTERRUPTED, UNEXPECTED, Usage
from guarded_rollout.core.problems import Problem, Why

if TYPE_CHECKING:
    from guarded_rollout.cli.screen import Screen


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code; never shows a traceback without --verbose."""
    words = sys.argv[1:] if argv is None else argv
    parsed = _parse(words)
    from guarded_rollout.cli.screen import Gone, Screen, tell

    screen = Screen(as_json="--json" in words)
    if isinstance(parsed, Usage):
        tell(parsed.usage.rstrip())
        screen.problem(parsed.why, parsed.exit_code, parsed.program)
        return parsed.exit_code
    try:
        return _run(parsed, screen)
    except Gone as gone:
        tell(f"rollout: standard output cannot be written ({gone}); {_what_now(parsed)}")
        return CLOSED
    except KeyboardInterrupt:
        screen.problem(Why("interrupted", _what_now(parsed)), INTERRUPTED)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - people get words, and the exit code they can act on
        return _failed(error, parsed, screen)


def _parse(words: list[str]) -> argparse.Namespace | Usage:
    try:
        return build_parser().parse_args(words)
    except Usage as usage:
        return usage


def _run(args: argparse.Namespace, screen: "Screen") -> int:
    from guarded_rollout.cli.wiring import check_root, find_root

    args.screen = screen
    if "anywhere" not in args:
        args.root = check_root(Path(args.root)) if args.root else find_root(Path.cwd())
    module, _, function = args.run.partition(":")
    code: int = getattr(import_module(f"guarded_rollout.cli.{module}"), function)(args)
    return code


def _failed(error: Exception, args: argparse.Namespace, screen: "Screen") -> int:
    """A problem or a defect."""
    if _verbose(args):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, Problem):
        screen.problem(error.why, error.exit_code)
        return error.exit_code
    what = f"unexpected {type(error).__name__}: {error}"
    hint = "this is a defect of the tool: report what the same command shows with --verbose"
    screen.problem(Why(what, hint), UNEXPECTED)
    return UNEXPECTED


def _verbose(args: argparse.Namespace) -> bool:
    asked = os.environ.get("DEBUG", "").lower() not in {"", "0", "no", "off", "false"}
    return asked or bool(args.verbose)


def _what_now(args: argparse.Namespace) -> str:
    """A command that may have changed something cannot promise here that it did not."""
    if "when_interrupted" in args:
        return str(args.when_interrupted)
    if args.looks_only or getattr(args, "dry_run", False):
        return "nothing was changed"
    return f"a rollout that was begun goes on: rollout status --env {args.env}"
