"""Journals of rollouts, made up: good, gone back, held, stuck."""

from dataclasses import replace

from guarded_rollout.core.facts import Judged, Observed, Started, StepBegan, StepDone, StepFailed
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.plan import Step
from guarded_rollout.core.problems import Why
from guarded_rollout.testing import examples

SHA = "5" * 64
WHY = "p95 is 2300 ms, the limit is 2000 ms"
BREACH = Judged(30.0, (Verdict("p95", Answer.BREACH, WHY, 2300.0, 2000.0),))
UNKNOWN = Judged(60.0, (Verdict("p95", Answer.UNKNOWN, "too few", None, 2000.0),))
PASS = Judged(60.0, (Verdict("p95", Answer.PASS, "p95 is 900 ms", 900.0, 2000.0),))
HOSTILE = (
    "`|</td>\n# heading [x](http://evil.example) <script>alert(1)</script> @everyone ```\n"
    "\x1b[31m\u202e password=hunter2secret ghp_" + "a" * 36
)
OUTCOMES = {
    Step.BACKUP: {"verified": True, "file": "backups/toy.zip", "sha256": SHA, "size": 4096},
    Step.REHEARSE: {
        "ways": ["flip", "restore"],
        "because": {"flip-and-down": "it loses rows"},
        "restored": {"rows": 3, "tables": 1},
        "pending": True,
        "from": "0001",
        "to": "0002",
        "statements": [{"sql": "ALTER TABLE things ADD x", "ms": 3.2, "locks": ["things"]}],
        "statements_in_all": 1,
        "findings": [],
    },
    Step.MIGRATE: {
        "from": "0001",
        "to": "0002",
        "moved": True,
        "statements": [{"sql": "ALTER TABLE things ADD x", "ms": 41.0}],
    },
    Step.SHIFT: {"to": "new", "percent": 100.0},
    Step.RETURN: {"to": "old"},
    Step.CONFIRM: {"consecutive_ok": 3},
    Step.PRUNE: {"backups": []},
}


def utc(unix):
    return f"{unix:.0f} UTC"


def steps(*names):
    for name in names:
        yield StepBegan(name, 1)
        yield StepDone(name, OUTCOMES.get(name, {}))


def lines(*facts):
    return [(number, 1000.0 + number, fact) for number, fact in enumerate(facts, 1)]


def watched(*, elapsed=(0.0, 10.0, 20.0, 30.0), failing=0.5):
    for at in elapsed:
        look = round(at / 10) or None
        yield Observed(examples.seen(at, look=look, requests=at * 10, failed=at * 10 * failing))


def deploy(*more, plan=None, by="ann", reason="release 1.1"):
    plan = plan or examples.plan()
    return lines(Started(plan, by, reason), *steps(*plan.forward), *watched(), *more)


def rolled_back(plan=None):
    plan = plan or examples.plan()
    return deploy(BREACH, *steps(*plan.back), plan=plan)


def held(*more):
    plan = examples.plan(policy=examples.watch(auto_rollback=False))
    return deploy(BREACH, *more, plan=plan)


def stuck():
    plan = examples.plan()
    tries = [StepBegan(plan.back[0], n) for n in (1, 2, 3)]
    failed = StepFailed(plan.back[0], Why("the proxy is gone", "look"))
    return deploy(BREACH, *(fact for began in tries for fact in (began, failed)))


def good():
    plan = examples.plan()
    return deploy(
        replace(PASS, elapsed=30.0), *watched(elapsed=(60.0,)), PASS, *steps(*plan.finish)
    )
