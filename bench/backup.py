"""Backups of one PostgreSQL database: ours beside `pg_dump | zip`, `pg_dump -Fd`, restic and borg.

Run: python bench/backup.py [--megabytes 1000] [--rounds 3] [--only NAME] [--folder DIR] [--json]
Starts a PostgreSQL of its own, fills it (half pgbench, half dhash rows), and in each round lets
everybody make a backup, verify it, and prove it by restoring into a scratch database. The order
moves on by one each round. Every round begins with no backup and no repository. Needs restic,
borg, zip and unzip, and installs Debian's packages where it may.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import large_database
from metered import Cost, Metered, cores_free
from postgres_of_ours import PASSWORD, USER, Server, server

OURS = "ours"
ZIP = "pg_dump | zip"
PACKAGES = {"zip": "zip", "unzip": "unzip", "restic": "restic", "borg": "borgbackup"}
STEPS = ("create", "verify", "prove")
SPACE = 6
_MINE = f"{sys.executable} {Path(__file__).with_name('backup_ours.py')}"
_COMPARE = "psql -XAtq -d scratch -f ../counts.sql | diff ../counts -"
_CHECKED = "unzip -tq b.zip && sha256sum -c --quiet b.zip.sha256"


@dataclass(frozen=True, slots=True)
class Contender:
    """Shell lines, run in an empty folder. `made`: what belongs to the backup there.

    `prepare` costs nothing. `verify` empty: `create` does it. `restore` fills database `scratch`;
    None: `prove` makes, fills, compares and drops one itself.
    """

    create: str
    verify: str
    restore: str | None
    made: str
    prepare: str = "true"
    prove: str = ""

    def lines(self) -> dict[str, str]:
        into = f"createdb scratch && {self.restore} && {_COMPARE} && dropdb scratch"
        return {
            "create": self.create,
            "verify": self.verify,
            "prove": self.prove if self.restore is None else into,
        }


_PSQL = "psql -Xq -v ON_ERROR_STOP=1 -d scratch > /dev/null"
_UNZIPPED = f"unzip -p b.zip | {_PSQL}"
CONTENDERS = {
    OURS: Contender(
        f"{_MINE} create $PWD $POSTMASTER",
        "",
        None,
        "backups",
        prove=f"{_MINE} prove $PWD $POSTMASTER",
    ),
    ZIP: Contender(
        "pg_dump | zip -q b.zip - && sha256sum b.zip > b.zip.sha256", _CHECKED, _UNZIPPED, "b.zip"
    ),
    "pg_dump | zip -1": Contender(
        "pg_dump | zip -1 -q b.zip - && sha256sum b.zip > b.zip.sha256",
        _CHECKED,
        _UNZIPPED,
        "b.zip",
    ),
    "pg_dump -Fd -j2": Contender(
        "pg_dump -Fd -j2 -f d",
        "pg_restore --list d > /dev/null && pg_restore -f /dev/null d",
        "pg_restore -j2 --exit-on-error -d scratch d",
        "d",
    ),
    "restic": Contender(
        "pg_dump | restic backup -q --stdin --stdin-filename b.sql",
        "restic check -q --read-data",
        f"restic dump -q latest b.sql | {_PSQL}",
        "repo",
        prepare="restic init -q",
    ),
    "borg": Contender(
        "pg_dump | borg create ::b -",
        "borg check --verify-data",
        f"borg extract --stdout ::b | {_PSQL}",
        "repo",
        prepare="borg init --encryption=none",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One contender in one round. `bytes`: on disk. `phases`: ours, with seconds and CPU.

    `load`, `cores`: the load average, and the cores that were free, before it.
    """

    costs: Mapping[str, Cost]
    bytes: int
    load: float
    cores: float
    phases: Mapping[str, Any]

    def made(self) -> Cost:
        """Create and verify together."""
        return self.costs["create"] + self.costs["verify"]


def one(name: str, metered: Metered, above: Path) -> Result:
    """Make, verify and prove one backup; nothing of it is left."""
    contender, folder = CONTENDERS[name], above / "work"
    folder.mkdir()
    costs, phases = dict[str, Cost](), dict[str, Any]()
    try:
        _shell(contender.prepare, metered, folder)
        load, cores = os.getloadavg()[0], cores_free()
        for step, line in contender.lines().items():
            cost, said = _shell(line, metered, folder) if line else (Cost(), "")
            costs[step] = cost
            if name == OURS and line:
                phases[step] = json.loads(said.splitlines()[-1])
        made = folder / contender.made
        files = [made] if made.is_file() else [file for file in made.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Result(costs, size, load, cores, phases)


def _shell(line: str, metered: Metered, folder: Path) -> tuple[Cost, str]:
    return metered.run(("bash", "-o", "pipefail", "-e", "-u", "-c", line), folder)


def environment(ours: Server, above: Path) -> dict[str, str]:
    """What everybody finds: the server, its own tools first, repositories, no caches of others."""
    return {
        "BORG_BASE_DIR": str(above / "borg"),
        "BORG_REPO": "repo",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "HOME": str(above),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{ours.tools}:{os.environ['PATH']}",
        "PG_BIN": str(ours.tools),
        "PGDATABASE": large_database.NAME,
        "PGHOST": "127.0.0.1",
        "PGPASSWORD": PASSWORD,
        "PGPORT": str(ours.port),
        "PGUSER": USER,
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "RESTIC_CACHE_DIR": str(above / "restic"),
        "RESTIC_PASSWORD": "bench",
        "RESTIC_REPOSITORY": "repo",
    }


@contextmanager
def ready(megabytes: float, parent: Path) -> Iterator[tuple[Metered, Path, dict[str, Any]]]:
    """A filled database, an empty folder, and what is to be known about both."""
    tools()
    free = shutil.disk_usage(parent).free
    if free < SPACE * megabytes * 1e6:
        raise SystemExit(f"{parent} has {free / 1e6:.0f} MB free, {SPACE * megabytes:.0f} needed")
    with tempfile.TemporaryDirectory(prefix="gr-backup-", dir=parent) as name, server() as ours:
        above = Path(name)
        env = environment(ours, above)
        rows = large_database.fill(ours, env, megabytes)
        asked = " UNION ALL ".join(f"SELECT '{t}', count(*) FROM {t}" for t in rows) + " ORDER BY 1"
        (above / "counts.sql").write_text(asked)
        (above / "counts").write_text("".join(f"{t}|{n}\n" for t, n in rows.items()))
        postmaster = int((ours.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        about = {"megabytes": large_database.size(ours) / 1e6, "rows": rows, "tools": versions(env)}
        yield Metered(postmaster, {**env, "POSTMASTER": str(postmaster)}), above, about


def tools() -> None:
    """See to it that the others are there."""
    missing = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    if not missing:
        return
    words = f"apt-get install --yes --no-install-recommends {' '.join(sorted(missing))}"
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"missing: {', '.join(sorted(missing))}. An administrator says: {words}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(words.split(), check=True, stdout=subprocess.DEVNULL, env=env)


def versions(env: Mapping[str, str]) -> list[str]:
    """The first line that says one."""
    asked = (("pg_dump", "--version"), ("zip", "-v"), ("restic", "version"), ("borg", "--version"))
    said = [
        subprocess.run(words, capture_output=True, text=True, check=True, env=env).stdout
        for words in asked
    ]
    return [next(line for line in text.splitlines() if "opyright" not in line) for text in said]


def show(about: Mapping[str, Any], results: Mapping[str, list[Result]]) -> None:
    """Medians with the spread, and ratios against `pg_dump | zip`."""
    rows = ", ".join(f"{table} {count:,}" for table, count in about["rows"].items())
    print(f"{about['megabytes']:.0f} MB on the server's disk: {rows}")
    print(f"{'; '.join(about['tools'])}; {os.cpu_count()} cores")
    before = [result for runs in results.values() for result in runs]
    loads, cores = sorted(r.load for r in before), sorted(r.cores for r in before)
    print(f"before the runs: load average {loads[0]:.1f} to {loads[-1]:.1f}, ", end="")
    print(f"cores free {cores[0]:.1f} to {cores[-1]:.1f}")
    print(f"\n{'create and verify':18}{'create':>8}{'verify':>8}{'both, s':>22}", end="")
    print(f"{'times':>7}{'CPU s':>8}{'server':>8}{'times':>7}{'MB':>7}{'size':>6}")
    for name, runs in results.items():
        create, verify = (_median([r.costs[step].seconds for r in runs]) for step in STEPS[:2])
        ratios = _ratios(results, name)
        print(
            f"{name:18}{create:8.1f}{verify:8.1f}{_spread([r.made().seconds for r in runs]):>22}"
            f"{ratios[0]:7.2f}{_median([r.made().cpu for r in runs]):8.1f}"
            f"{_median([r.made().server for r in runs]):8.1f}{ratios[1]:7.2f}"
            f"{_median([r.bytes / 1e6 for r in runs]):7.0f}{ratios[2]:6.2f}"
        )
    print(f"\n{'restore-proof':18}{'s':>22}{'CPU s':>8}{'server':>8}")
    for name, runs in results.items():
        proofs = [r.costs["prove"] for r in runs]
        print(
            f"{name:18}{_spread([p.seconds for p in proofs]):>22}"
            f"{_median([p.cpu for p in proofs]):8.1f}{_median([p.server for p in proofs]):8.1f}"
        )
    for step in STEPS:
        _show_phases(step, [r.phases[step] for r in results.get(OURS, []) if step in r.phases])


def _ratios(results: Mapping[str, list[Result]], name: str) -> tuple[float, float, float]:
    """Times as fast, times less CPU, times the size: against `pg_dump | zip`, if it took part."""
    base, runs = results.get(ZIP, results[name]), results[name]
    return (
        _median([r.made().seconds for r in base]) / _median([r.made().seconds for r in runs]),
        _median([r.made().cpu for r in base]) / _median([r.made().cpu for r in runs]),
        _median([r.bytes for r in runs]) / _median([r.bytes for r in base]),
    )


def _show_phases(step: str, runs: list[Mapping[str, list[float]]]) -> None:
    if not runs:
        return
    print(f"\n{'ours, ' + step:18}{'s':>8}{'client CPU':>12}{'server CPU':>12}")
    for phase in runs[0]:
        figures = [_median([run[phase][n] for run in runs]) for n in range(3)]
        print(f"{phase:18}{figures[0]:8.1f}{figures[1]:12.1f}{figures[2]:12.1f}")


def _median(values: list[float]) -> float:
    return float(statistics.median(values))


def _spread(values: list[float]) -> str:
    return f"{_median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1000.0, help="of the database, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", action="append", choices=tuple(CONTENDERS), help="may be repeated"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Whoever ends this ends it the way that Ctrl-C does: everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = args.only or list(CONTENDERS)
    results: dict[str, list[Result]] = {name: [] for name in names}
    with ready(args.megabytes, args.folder) as (metered, above, about):
        for number in range(args.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                result = one(name, metered, above)
                results[name].append(result)
                print(f"round {number + 1}, {name}: {json.dumps(asdict(result))}", file=sys.stderr)
    if args.json:
        shown = {name: [asdict(result) for result in runs] for name, runs in results.items()}
        print(json.dumps({**about, "results": shown}, indent=1))
    else:
        show(about, results)


if __name__ == "__main__":
    main()
