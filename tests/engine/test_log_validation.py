"""Each check of a logger passes on a right one, and fails on one that is broken in just that way.

The loggers are real programs: they read records, and write into real files under a real keeper.
"""

import os
import sys
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes.command import Command
from guarded_rollout.adapters.processes.log_writer import ProcessLogWriter
from guarded_rollout.core.log_judging import FIELDS, json_lines, plain_lines
from guarded_rollout.core.log_records import hidden
from guarded_rollout.engine import log_validation as validation
from guarded_rollout.engine.log_validation import Effort, Subject, running, validate
from guarded_rollout.ports import Replica

SUPPORT = Path(__file__).parents[1] / "support"
EFFORT = Effort(processes=3, lines=30, timeout=20.0)
SAID = {"service": "toy", "version": "1.0.0", "environment": "staging"}
CASES = list(dict.fromkeys((case.kind, case.place) for case in hidden()))

CONCURRENCY = {
    "loses": "nothing is lost",
    "fails": "nothing is lost",
    "twice": "nothing is written twice",
    "tears": "nothing is torn or interleaved",
    "cuts long lines": "every long line is whole",
    "shuffles": "each process keeps its order",
    "own mode": "its log is for its owner only",
}
OTHERS = {
    "redacts too much": ("unchanged", "clean lines are unchanged"),
    "redacts numbers in fields": ("unchanged", "clean lines are unchanged"),
    "no JSON": ("shape", "every line has its fields"),
    "breaks lines": ("shape", "every line has its fields"),
    "timestamp": ("shape", "every line has its fields"),
    "level name": ("shape", "every line has its fields"),
    **{f"without {name}": ("shape", "every line has its fields") for name in FIELDS[3:]},
    **{f"other {name}": ("shape", "every line has its fields") for name in SAID},
    "event": ("shape", "event, request id and exception are there"),
    "other request_id": ("shape", "event, request id and exception are there"),
    "no exception": ("shape", "event, request id and exception are there"),
    "label": ("levels", "levels"),
    "level": ("levels", "levels"),
    "no append": ("rotation", "a full log is rotated, and written on"),
    "loses": ("rotation", "nothing is lost by that"),
    "keeps copies": ("rotation", "one older log is kept"),
    "own mode": ("rotation", "rotated logs are for their owner only"),
}


def subject(tmp_path, switch):
    command = Command(
        (sys.executable, str(SUPPORT / "broken_logger.py"), switch), dict(os.environ), tmp_path
    )
    writer = ProcessLogWriter(command, tmp_path / "scratch", SystemClock())
    return Subject("logger", writer, json_lines, SAID, "TOY_LEVEL")


def failed(tmp_path, check, switch):
    """The names of the checks that fail, with what they say."""
    found = getattr(validation, check)(subject(tmp_path, switch), EFFORT)
    return {name: problem for name, problem, _ in found if problem is not None}


def test_a_right_logger_passes_every_check(tmp_path):
    """And nothing of the run is left behind."""
    results = list(validate(subject(tmp_path, "right"), EFFORT, SystemClock()))
    assert [result for result in results if result.problem] == []
    expected = {*CONCURRENCY.values(), *(name for _, name in OTHERS.values())}
    assert expected <= {result.check for result in results}
    assert "lines/s" in results[0].note
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(("switch", "name"), CONCURRENCY.items(), ids=CONCURRENCY)
def test_many_processes_at_once(tmp_path, switch, name):
    """Lost, doubled, torn, cut, out of order, open to others."""
    assert name in failed(tmp_path, "concurrency", switch)


@pytest.mark.parametrize(("switch", "found"), OTHERS.items(), ids=OTHERS)
def test_every_other_check(tmp_path, switch, found):
    """It fails, and on a right logger it does not."""
    check, name = found
    assert name in failed(tmp_path, check, switch)


@pytest.mark.parametrize(("kind", "place"), CASES, ids=lambda word: word)
def test_a_secret_that_is_shown_is_found(tmp_path, kind, place):
    """Each kind at each place, and only that one."""
    found = failed(tmp_path, "redaction", f"{kind}@{place}")
    assert list(found) == [f"hides: {kind}"]
    assert f"a {kind} in its {place} can be read" in found[f"hides: {kind}"]


def test_a_line_that_is_dropped_for_its_secret_is_found(tmp_path):
    """Silence is no redaction."""
    found = failed(tmp_path, "redaction", "drops secrets")
    assert len(found) == len({kind for kind, _ in CASES})
    assert all("is gone" in problem for problem in found.values())


def test_a_program_that_does_not_start_is_said(tmp_path):
    """With its last words, by every check."""
    command = Command((sys.executable, "-c", "exit('no module dhash')"), dict(os.environ), tmp_path)
    writer = ProcessLogWriter(command, tmp_path / "scratch", SystemClock())
    found = list(validation.unchanged(Subject("logger", writer, json_lines, SAID), EFFORT))
    assert found[0][1] == "the program ended with 1: no module dhash\n"


def test_our_own_logs_pass_the_same_checks(tmp_path):
    """The program that this tool's validation runs."""
    argv = (sys.executable, "-m", "guarded_rollout.cli.log_probe", "{scratch}")
    command = Command(argv, dict(os.environ), tmp_path)
    writer = ProcessLogWriter(command, tmp_path / "scratch", SystemClock(), "logs/deploy_*.log")
    results = list(validate(Subject("own", writer, plain_lines), EFFORT, SystemClock()))
    assert [result for result in results if result.problem] == []
    assert {"nothing is lost", "clean lines are unchanged", "hides: SSN"} <= {
        result.check for result in results
    }


GOOD = (
    '{"timestamp": "2026-11-21T03:15:00Z", "level": "INFO", "message": "m", "service": "toy", '
    '"version": "1.0.0", "environment": "staging", "event": "e", "request_id": null}\n'
)


@pytest.mark.parametrize(
    ("text", "mode", "limit", "name"),
    [
        (GOOD + "Traceback (most recent call last):\n", 0o600, None, "its lines have their fields"),
        ("", 0o600, None, "its lines have their fields"),
        (GOOD.replace('"m"', '"password=hunter2"'), 0o600, None, "its lines have no secret"),
        (GOOD, 0o640, None, "its logs are for their owner only"),
        (GOOD, 0o600, 10, "its logs are rotated"),
        (GOOD, 0o600, None, None),
    ],
    ids=["not structured", "empty", "secret", "mode", "not rotated", "right"],
)
def test_the_logs_of_the_running_service(tmp_path, monkeypatch, text, mode, limit, name):
    """As they lie on the disk."""
    log = tmp_path / "log"
    log.write_text(text)
    log.chmod(mode)
    if limit:
        monkeypatch.setattr(validation, "LOG_BYTES", limit)
    replica = Replica("r-0", tmp_path / "s", alive=True, pid=1, restarts=0, last_exit=None, log=log)
    results = running([replica], subject(tmp_path, "right"))
    problems = [result.check for result in results if result.problem]
    assert problems[:1] == ([name] if name else [])
