"""One backup of ours, made or proven, in a process of its own. `backup.py` starts it.

Run: python bench/backup_ours.py create|prove FOLDER POSTMASTER
The last line printed is JSON: what each phase took, by what the backup says it is doing.
"""

import json
import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from metered import server_cpu

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
from guarded_rollout.engine.drill import Drill
from guarded_rollout.ports import BackupRequest

ENVIRONMENT = "production"
REQUEST = BackupRequest(ENVIRONMENT, None, "bench", "benchmark", ())
PHASES = {
    "copying": "dump and count",
    "dumping": "dump and count",
    "packing": "pack",
    "reading": "read back",
    "restoring": "restore",
    "comparing": "compare",
}


@dataclass(slots=True)
class Phases:
    """ports.Control: never stops, and takes the time whenever something else is said."""

    postmaster: int
    now: str = "start"
    took: dict[str, list[float]] = field(default_factory=dict)
    _last: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._last = self._figures()

    def stopped(self) -> bool:
        return False

    def say(self, text: str) -> None:
        word = text.partition(" ")[0].rstrip(":")
        self.begin(PHASES.get(word, "end"))

    def begin(self, phase: str) -> None:
        figures = self._figures()
        so_far = self.took.get(self.now, [0.0] * len(figures))
        self.took[self.now] = [
            round(before + now - then, 3)
            for before, now, then in zip(so_far, figures, self._last, strict=True)
        ]
        self.now, self._last = phase, figures

    def _figures(self) -> tuple[float, ...]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        client = sum(one.ru_utime + one.ru_stime for one in used)
        return perf_counter(), client, server_cpu(self.postmaster)


def main() -> None:
    what, folder, postmaster = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    phases = Phases(postmaster)
    clock = SystemClock()
    words = [os.environ[name] for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")]
    access = Access(words[0], int(words[1]), words[2], words[3])
    database, archive = PostgresDatabase(access, clock), ZipArchive(folder, clock, "dhash")
    if what == "create":
        archive.create(REQUEST, database, phases)
    else:
        (file,) = (folder / "backups").glob("*.zip")
        phases.begin("verify")
        done = Drill(archive, database, clock, ENVIRONMENT).run(file, phases)
        assert done.hashed, "contents were compared, not only rows"
    phases.begin("end")
    print(json.dumps(phases.took))


if __name__ == "__main__":
    main()
