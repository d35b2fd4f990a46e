"""The evidence gates beside the rules of today's tools, on simulated rollouts.

    python bench/gates [PART ...] [--parameters FILE] [--json]

corpus  what the generator makes: labels and digests; with --write FOLDER the streams too
score   every judge on every rollout: false rollbacks, missed, delay, failed requests
alarms  each gate alone on harmless rollouts at the edge of its null
delays  one gate alone, delay in information bounds
speed   what an observation costs
table   the score, alarms and delays of earlier runs (--from FILE ...) as Markdown
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, TypeVar

import alarms
import delays
import scores
import speed
import streams
import tables
from parameters import KINDS, PUBLIC, Parameters, read
from scenes import Scene

from guarded_rollout.core.problems import BadInput

Given = TypeVar("Given")
Made = TypeVar("Made")
PARTS = ("corpus", "score", "alarms", "delays", "speed", "table")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 and one sentence for parameters that cannot be used."""
    asked = _arguments(argv)
    try:
        parameters = read(asked.parameters)
        _known(parameters, asked)
        for part in asked.parts or ("score",):
            found = _RUN[part](parameters, asked)
            print(json.dumps({part: found}) if asked.json else tables.TEXTS[part](found))
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python bench/gates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--parameters", type=Path, default=PUBLIC, help="seeds and ranges, TOML")
    parser.add_argument("--runs", type=int, help="of alarms (10000), delays (100), speed (5)")
    parser.add_argument("--only", nargs="*", default=[], help="families, or kinds of alarms")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="folder for the streams of `corpus`")
    parser.add_argument(
        "--rows", type=Path, help="of `score`: keeps what is judged here, goes on from there"
    )
    parser.add_argument("--from", type=Path, nargs="*", default=[], dest="files", help="of `table`")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
    return asked


def _known(parameters: Parameters, asked: argparse.Namespace) -> None:
    """BadInput for a name in --only that nothing has."""
    names = (*(family.name for family in parameters.families), *KINDS)
    if unknown := set(asked.only) - set(names):
        raise BadInput(
            f"--only: {asked.parameters.name} has no family and there is no kind of gate "
            f"with the name {', '.join(sorted(unknown))}",
            f"one of {', '.join(names)}",
        )


def _scenes(parameters: Parameters, asked: argparse.Namespace) -> list[Scene]:
    every = streams.rollouts(parameters)
    return [scene for scene in every if not asked.only or scene.family in asked.only]


def _corpus(parameters: Parameters, asked: argparse.Namespace) -> list[dict[str, Any]]:
    if asked.write:
        asked.write.mkdir(parents=True, exist_ok=True)
    describe = partial(streams.described, seed=parameters.seed, folder=asked.write)
    return list(_each(describe, _scenes(parameters, asked), asked.processes))


def _score(parameters: Parameters, asked: argparse.Namespace) -> dict[str, Any]:
    judge = partial(scores.rows, seed=parameters.seed, rules=parameters.peers)
    found = [] if asked.rows is None else scores.kept(asked.rows)
    known = {(row.family, row.label, row.number) for row in found}
    scenes = [
        scene
        for scene in _scenes(parameters, asked)
        if (scene.family, scene.label, scene.number) not in known
    ]
    for rows in _each(judge, scenes, asked.processes):
        found += rows
        if asked.rows is not None:
            scores.keep(asked.rows, rows)
    return scores.board(found)


def _alarms(parameters: Parameters, asked: argparse.Namespace) -> dict[str, Any]:
    runs, found = asked.runs or 10_000, {}
    for kind, ranges in parameters.alarms.items():
        if asked.only and kind not in asked.only:
            continue
        fires = partial(alarms.alarm, kind, ranges, parameters.seed)
        found[kind] = alarms.added(runs, sum(_each(fires, range(runs), asked.processes)))
        print(f"alarms of {kind}: {found[kind]['false']} of {runs}", file=sys.stderr)
    return found


def _delays(parameters: Parameters, asked: argparse.Namespace) -> list[dict[str, Any]]:
    runs, found = asked.runs or 100, []
    for number, question in enumerate(delays.questions()):
        ask = partial(delays.answered, number, parameters.seed)
        found.append(delays.added(question, list(_each(ask, range(runs), asked.processes))))
    return found


def _speed(parameters: Parameters, asked: argparse.Namespace) -> list[dict[str, Any]]:
    return speed.measured(asked.runs or 5, parameters.seed)


def _table(_: Parameters, asked: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in asked.files:
        for line in file.read_text().splitlines():
            found |= json.loads(line)
    return found


def _each(work: Callable[[Given], Made], these: Iterable[Given], processes: int) -> Iterable[Made]:
    """In order, by so many processes."""
    if processes < 2:
        yield from map(work, these)
        return
    with Pool(processes) as pool:
        yield from pool.imap(work, these, chunksize=8)


_RUN: dict[str, Callable[[Parameters, argparse.Namespace], Any]] = {
    "corpus": _corpus,
    "score": _score,
    "alarms": _alarms,
    "delays": _delays,
    "speed": _speed,
    "table": _table,
}

if __name__ == "__main__":
    sys.exit(main())
