"""Files for people: the log of a rollout as it happens, and its report."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.core.fact_text import fact_lines
from guarded_rollout.core.facts import Fact, Judged, Observed
from guarded_rollout.core.redact import redact
from guarded_rollout.core.report import report
from guarded_rollout.ports import Entry, Known, Ports


def stamp(unix: float) -> str:
    """`20261121_031500`, UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y%m%d_%H%M%S")


def spoken(unix: float) -> str:
    """`2026-11-21 03:15:00`, UTC, as the documents' logs write it."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Log:
    """`logs/deploy_<env>_<ts>.log` has everything, `logs/monitor_<env>_<ts>.log` the watch."""

    def __init__(self, root: Path, known: Known) -> None:
        name = f"{known.environment}_{stamp(known.began)}"
        self._all = root / "logs" / f"{known.kind}_{name}.log"
        self._watch = root / "logs" / f"monitor_{name}.log"

    def write(self, entry: Entry) -> None:
        """One entry, as lines. Facts that only machines read write nothing."""
        lines = fact_lines(entry.fact)
        files = {self._all, self._watch} if _of_watch(entry.fact) else {self._all}
        text = "".join(f"[{spoken(entry.at)}] [INFO] {redact(line)}\n" for line in lines)
        if text:
            self._append(files, text)

    def say(self, at: float, text: str) -> None:
        """A line of progress that is no fact."""
        self._append({self._all}, f"[{spoken(at)}] [INFO] {redact(text)}\n")

    def _append(self, files: set[Path], text: str) -> None:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "a", opener=_private) as out:
                out.write(text)


def _private(name: str, flags: int) -> int:
    """Others than its owner have no business in a log."""
    return os.open(name, flags, 0o600)


def _of_watch(fact: Fact) -> bool:
    return isinstance(fact, Observed | Judged)


def write_report(ports: Ports, rollout: str) -> tuple[Path, ...]:
    """`logs/monitor_report_<env>_<ts>.json`, and a copy with the log in `monitor_logs/`."""
    entries = ports.journal.entries(rollout)
    known = next(k for k in ports.journal.known() if k.rollout == rollout)
    document = report(rollout, [e.at for e in entries], [e.fact for e in entries])
    name = f"{known.environment}_{stamp(known.began)}"
    logs, copies = ports.root / "logs", ports.root / "monitor_logs"
    file = logs / f"monitor_report_{name}.json"
    for folder in (logs, copies):
        folder.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".partial")
    fresh.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    fresh.replace(file)
    sources = [s for s in (file, logs / f"monitor_{name}.log") if s.exists()]
    return (file, *(Path(shutil.copy2(source, copies / source.name)) for source in sources))
