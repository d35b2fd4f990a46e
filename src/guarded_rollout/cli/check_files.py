"""Where the reports of checks go: the screen, logs/, and a JUnit file."""

import argparse
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.cli.screen import Screen, tell
from guarded_rollout.core.check_report import CheckReport
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.redact import redact

FAILED = 3


def moment(unix: float) -> str:
    """`2026-11-21T03:15:00`, UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def hand_out(args: argparse.Namespace, name: str, report: CheckReport) -> int:
    """`logs/NAME_<env>_<ts>.log` and `logs/NAME.log`, the newest. Returns the exit code.

    A report that cannot be written is told; it changes no verdict. Broken: the JUnit file that
    was asked for cannot be written.
    """
    screen: Screen = args.screen
    text = "".join(f"{redact(line)}\n" for line in report.lines())
    stamp = report.began.replace("-", "").replace(":", "").replace("T", "_")
    logs: Path = args.root / "logs"
    files = (logs / f"{name}_{report.environment}_{stamp}.log", logs / f"{name}.log")
    written = []
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, text.encode())
        except OSError as error:
            tell(f"warning: {file} cannot be written: {error.strerror}")
        else:
            written.append(str(file.relative_to(args.root)))
    screen.line(report.ending())
    for file_name in written[:1]:
        screen.line(f"  report: {file_name}")
    screen.document({**report.document(), "files": written})
    if args.junit is not None:
        _junit(Path(args.junit), report)
    if report.failed:
        tell(report.ending())
    return FAILED if report.failed else 0


def _junit(file: Path, report: CheckReport) -> None:
    try:
        with suppress(FileExistsError):
            file.parent.mkdir(parents=True)
        write_whole(file, report.junit().encode())
    except OSError as error:
        raise Broken(
            f"{file} cannot be written: {error.strerror}; the checks did run: {report.ending()}",
            "name a file in a folder that this user may write",
        ) from error
