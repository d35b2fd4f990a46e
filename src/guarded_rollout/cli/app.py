"""`rollout`: parsing and printing only. Subcommands are imported when they are called."""

import argparse
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeAlias

from guarded_rollout import __version__
from guarded_rollout.core.problems import Problem

EXIT_CODES = """exit codes:
  0  done
  1  usage or environment: nothing was changed
  2  rolled back safely
  3  needs a person
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code; never shows a traceback without --verbose."""
    parser = build_parser()
    args = parser.parse_args(argv)
    verbose = getattr(args, "verbose", False) or bool(os.environ.get("DEBUG"))
    try:
        from guarded_rollout.cli.wiring import find_root

        args.root = Path(args.root).absolute() if args.root else find_root(Path.cwd())
        module, _, function = args.run.partition(":")
        code: int = getattr(import_module(f"guarded_rollout.cli.{module}"), function)(args)
    except Problem as problem:
        if verbose:
            traceback.print_exc()
        print(f"rollout: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("interrupted, nothing was changed by this command", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if verbose:
            raise
        print(
            f"rollout: unexpected {type(error).__name__}: {error}\n"
            "  -> this is a defect of the tool: report what --verbose shows",
            file=sys.stderr,
        )
        return 3
    else:
        return code


class Parser(argparse.ArgumentParser):
    """Usage errors exit with 1, as the documents say; argparse's own 2 means rolled back here."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the one line that says what is wrong."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n  -> {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="rollout",
        description="Ship a release, watch it, put the old one back by itself if it misbehaves.",
        epilog=EXIT_CODES + "\nexamples:\n"
        "  rollout deploy --env staging --dry-run\n"
        "  rollout deploy --env production\n"
        "  rollout status --env production\n"
        "  rollout rollback --env production --reason 'slow since the deploy'\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rollout {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    _add_rollouts(commands)
    _add_looking(commands)
    _add_backup(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name


def _command(  # noqa: PLR0917 - a table row
    commands: "Commands",
    name: str,
    run: str,
    about: str,
    examples: str,
    environment: str | None = None,
) -> argparse.ArgumentParser:
    """A subcommand. `environment` None: --env is required, because it changes something."""
    parser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"examples:\n{examples}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--env",
        required=environment is None,
        default=environment,
        metavar="ENVIRONMENT",
        help="production, staging, canary, development, or another one of rollout.toml",
    )
    parser.add_argument("--root", metavar="FOLDER", help="the folder of rollout.toml")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--verbose", action="store_true", help="show tracebacks of defects")
    return parser


def _add_rollouts(commands: "Commands") -> None:
    deploy = _command(
        commands,
        "deploy",
        "rollouts:deploy",
        "back up, migrate, start beside the old version, smoke, shift, watch, promote or roll back",
        "  rollout deploy --env staging --dry-run\n"
        "  rollout deploy --env production --reason 'release 1.4'",
    )
    deploy.add_argument("--source", metavar="FOLDER", help="build from here, not from rollout.toml")
    deploy.add_argument("--dry-run", action="store_true", help="print the plan, touch nothing")
    deploy.add_argument("--again", action="store_true", help="deploy a release that already serves")
    deploy.add_argument(
        "--skip-backup", action="store_true", help="use a verified backup of the last 24 hours"
    )
    deploy.add_argument("--backup-first", action="store_true", help="accepted: it always does")
    deploy.add_argument(
        "--config", metavar="FILE", help="quality gates, instead of the root's file"
    )
    deploy.add_argument("--duration", metavar="MINUTES", help="watch so long: 60, 60m, 3600s, 1h")
    deploy.add_argument("--reason", default="", help="why, for the journal")
    deploy.add_argument("--detach", action="store_true", help="do not follow; the guard goes on")

    migrate = _command(
        commands,
        "migrate",
        "rollouts:migrate",
        "build, back up and migrate the schema, without deploying",
        "  rollout migrate --env staging --dry-run\n  rollout migrate --env staging",
    )
    migrate.add_argument("--source", metavar="FOLDER", help="build from here")
    migrate.add_argument("--dry-run", action="store_true", help="print the plan, touch nothing")
    migrate.add_argument("--reason", default="", help="why, for the journal")
    migrate.add_argument("--detach", action="store_true", help="do not follow")
    migrate.set_defaults(again=True)

    monitor = _command(
        commands,
        "monitor",
        "rollouts:monitor",
        "watch the release that serves, with its gates; roll back if it breaches",
        "  rollout monitor --env production --duration 30",
    )
    monitor.add_argument("--duration", metavar="MINUTES", help="60, 60m, 3600s, 1h")
    monitor.add_argument("--config", metavar="FILE", help="quality gates")
    monitor.add_argument("--dry-run", action="store_true", help="print the plan, touch nothing")
    monitor.add_argument("--detach", action="store_true", help="do not follow")

    rollback = _command(
        commands,
        "rollback",
        "rollouts:rollback",
        "put the old version back: traffic first, then 3 consecutive OK, then smoke checks",
        "  rollout rollback --env production --reason 'customers see errors' --force",
    )
    rollback.add_argument("--backup", metavar="FILE", help="verify this backup first")
    rollback.add_argument("--reason", default="manual", help="why, for the journal")
    rollback.add_argument("--force", action="store_true", help="skip the question, nothing else")
    rollback.add_argument("--dry-run", action="store_true", help="print the plan, touch nothing")
    rollback.add_argument("--detach", action="store_true", help="do not follow")

    promote = _command(
        commands,
        "promote",
        "rollouts:promote",
        "take the candidate as it is, before its window ends or while it is held",
        "  rollout promote --env staging --reason 'no traffic at night, checked by hand'",
    )
    promote.add_argument("--reason", required=True, help="why, for the journal")
    promote.add_argument("--detach", action="store_true", help="do not follow")

    resume = _command(
        commands,
        "resume",
        "rollouts:resume",
        "give a rollout that lost its guard a new one, and watch it",
        "  rollout resume --env production",
    )
    resume.add_argument("--detach", action="store_true", help="do not follow")

    agent = _command(
        commands,
        "agent",
        "agent:agent",
        "the guard's own process; the other commands start it",
        "  rollout agent --env production --rollout production-20261121-031500-3f9c0a",
    )
    agent.add_argument("--rollout", required=True, metavar="ID")


def _add_looking(commands: "Commands") -> None:
    _command(
        commands,
        "status",
        "looking:status",
        "what serves, what is going on, who guards it",
        "  rollout status --env production --json",
        "staging",
    )
    watch = _command(
        commands,
        "watch",
        "looking:watch",
        "show a rollout from its beginning, until it rests",
        "  rollout watch --env production",
        "staging",
    )
    watch.add_argument("--rollout", metavar="ID", help="default: the active or the newest one")
    smoke = _command(
        commands,
        "smoke",
        "looking:smoke",
        "send the smoke checks through the proxy",
        "  rollout smoke --env production --tier critical",
        "staging",
    )
    smoke.add_argument("--tier", choices=["critical", "standard", "all"], default="critical")
    audit = commands.add_parser("audit", help="the journal's integrity")
    actions = audit.add_subparsers(dest="action", required=True, parser_class=Parser)
    _command(
        actions,
        "verify",
        "looking:audit_verify",
        "walk the hash chain of the whole journal",
        "  rollout audit verify",
        "staging",
    )


def _add_backup(commands: "Commands") -> None:
    backup = commands.add_parser("backup", help="create, verify, drill, list and prune backups")
    actions = backup.add_subparsers(dest="action", required=True, parser_class=Parser)
    create = _command(
        actions,
        "create",
        "backups:create",
        "dump the database while it is written, pack it with the configuration, verify",
        "  rollout backup create --env production --retention-days 14",
    )
    create.add_argument("--retention-days", type=float, metavar="N", help="prune older ones too")
    create.add_argument("--dry-run", action="store_true", help="touch nothing")
    create.add_argument("--reason", default="", help="why, for the journal")
    create.set_defaults(detach=False)
    verify = _command(
        actions,
        "verify",
        "backups:verify",
        "checksum, every member, the database inside",
        "  rollout backup verify --env production",
        "staging",
    )
    verify.add_argument("file", nargs="?", help="default: the environment's newest")
    verify.add_argument(
        "--restore",
        action="store_true",
        help="restore it into a scratch database too, and compare rows and contents",
    )
    _command(
        actions,
        "drill",
        "backups:drill",
        "restore the newest backup into a scratch database and compare; for a timer",
        "  rollout backup drill --env production",
        "staging",
    )
    _command(
        actions,
        "list",
        "backups:show",
        "newest first",
        "  rollout backup list --env production",
        "staging",
    )
    copies = _command(
        actions,
        "copies",
        "copies:show",
        "what lies in the other places that rollout.toml names",
        "  rollout backup copies --env production --verify",
        "staging",
    )
    copies.add_argument("--verify", action="store_true", help="read every copy back")
    fetch = _command(
        actions,
        "fetch",
        "copies:fetch",
        "bring a copy back into backups/, verified",
        "  rollout backup fetch --env production dhash_production_20260131_120000.zip",
    )
    fetch.add_argument("file", help="the backup's name")
    fetch.add_argument("--from", dest="place", metavar="PLACE", help="default: each in turn")
    prune = _command(
        actions,
        "prune",
        "backups:prune",
        "remove backups older than the retention, never the newest verified one",
        "  rollout backup prune --env production --retention-days 14",
    )
    prune.add_argument("--retention-days", type=float, metavar="N", help="default: rollout.toml's")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
