"""Incidents and reports out of a journal: nothing is left out, and nothing hostile gets through."""

import json
import re
from dataclasses import replace

import pytest
from made_journals import (
    BREACH,
    HOSTILE,
    OUTCOMES,
    SHA,
    WHY,
    deploy,
    good,
    held,
    lines,
    rolled_back,
    steps,
    stuck,
    utc,
    watched,
)
from markdown_it import MarkdownIt

from guarded_rollout.core.account import account_of
from guarded_rollout.core.account_text import timeline
from guarded_rollout.core.announcing import due_of_incident, read
from guarded_rollout.core.deployment_text import deployment_page
from guarded_rollout.core.facts import (
    KINDS,
    Acknowledged,
    Adopted,
    Judged,
    Lane,
    Notified,
    Observed,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.incident import (
    Attached,
    Cause,
    incident_document,
    incident_of,
    incident_page,
    rca_values,
)
from guarded_rollout.core.plan import Kind, Step
from guarded_rollout.core.problems import Why
from guarded_rollout.core.spec import Release
from guarded_rollout.core.state import Phase
from guarded_rollout.core.statement import SignOff, Statement
from guarded_rollout.testing import examples

READER = MarkdownIt("commonmark").enable("table")


@pytest.mark.parametrize(
    ("journal", "cause", "phase"),
    [
        (rolled_back(), Cause.WENT_BACK, Phase.ROLLED_BACK),
        (held(), Cause.HELD, Phase.HOLDING),
        (stuck(), Cause.WENT_BACK, Phase.STUCK),
    ],
)
def test_what_goes_wrong_by_itself_is_an_incident(journal, cause, phase):
    """Gone back, held, stuck; it says when and why."""
    incident = incident_of("r1", journal)
    assert (incident.cause, incident.account.phase) == (cause, phase)
    number = next(n for n, _, fact in journal if isinstance(fact, Judged))
    assert incident.since == 1000.0 + number
    assert WHY in incident.why


@pytest.mark.parametrize(
    "journal",
    [
        good(),
        deploy(RollbackAsked("ann", "slow"), *steps(*examples.plan().back)),
        lines(
            Started(examples.plan(Kind.ROLLBACK), "ann", "slow"),
            *steps(*examples.plan(Kind.ROLLBACK).back),
        ),
        lines(
            Started(examples.plan(), "ann"),
            StepBegan(Step.PREFLIGHT, 1),
            StepFailed(Step.PREFLIGHT, Why("the port is taken")),
        ),
    ],
    ids=["good", "asked while it ran", "asked later", "refused"],
)
def test_what_people_asked_for_is_none(journal):
    """Nor is what was refused before anything changed."""
    assert incident_of("r1", journal) is None
    assert due_of_incident(read("r1", journal), 1e9) == ()


def test_the_page_has_what_a_person_needs():
    """Numbers, plots, logs, backup with its checksum, who asked what, what to do."""
    journal = [*rolled_back(), (98, 2000.0, Acknowledged("bob", "on it"))]
    incident = incident_of("r1", journal)
    log = Attached(examples.NEW.name, "new-0", "new-0.log", 123)
    page = incident_page(incident, (log,), utc)
    for wanted in (
        *(WHY, SHA, "backups/toy.zip", "INC-r1/new-0.log", "123 bytes"),
        *("release 1.1", "`ann`", "`bob`", "rollout ack", "gates replay", "INC-r1-rca.md"),
        *(examples.NEW.digest, examples.OLD.digest, "41 ms", "3 ms", "`things`", "it loses rows"),
        *("work that failed", "50 to 50 %", "█", "2000 UTC"),
    ):
        assert wanted in page, wanted
    document = incident_document(incident, (log,), utc)
    assert json.loads(json.dumps(document)) == document
    assert document["backup"]["sha256"] == SHA
    assert document["phase"] == "rolled-back"
    assert document["acknowledged"] == [2000.0, "bob"]


def test_news_of_an_incident_are_in_order_and_have_an_ack():
    """What happened before it is no news of it."""
    journal = [*rolled_back(), (98, 2000.0, Acknowledged("bob", "on it"))]
    news = due_of_incident(read("r1", journal), 1e9)
    assert [one.type for one in news] == ["rollback-start", "rollback-success", "info"]
    assert news[-1].message == "bob is on it: on it."
    assert len({one.key for one in news}) == 3


def everything():
    """A journal with every kind of fact."""
    plan = examples.plan(policy=examples.watch(auto_rollback=False))
    notified = Notified("r1:1:deploy-start", "slack", "kept", 3, "no answer")
    before = (PauseAsked("ann", "lunch"), ResumeAsked("ann", "back"), Adopted("guard 2"), notified)
    down = Judged(30.0, (Verdict("down", Answer.PASS, "3 probes"),), Lane.DOWN)
    tries = [StepBegan(plan.back[0], n) for n in (1, 2)]
    failed = StepFailed(plan.back[0], Why("the proxy is slow", "wait"))
    back = [tries[0], failed, tries[1], StepDone(plan.back[0], OUTCOMES[Step.RETURN])]
    return deploy(
        *before,
        down,
        BREACH,
        Acknowledged("bob", "on it"),
        RollbackAsked("bob", "enough"),
        *back,
        *steps(*plan.back[1:]),
        plan=plan,
    )


def test_every_kind_of_fact_has_its_line():
    """But for what only machines read: an observation that is no look."""
    journal = everything()
    assert {*map(type, (fact for _, _, fact in journal)), PromoteAsked} == set(KINDS.values())
    account = account_of("r1", journal)
    shown = timeline(account, utc)
    for number, at, fact in journal:
        silent = isinstance(fact, Observed) and fact.seen.look is None
        told = [line for line in shown if line.startswith(f"{utc(at)}  ")]
        assert bool(told) is not silent, (number, fact)
    promoted = held(PromoteAsked("ann", "it is fine"))
    assert any("it is fine" in line for line in timeline(account_of("r1", promoted), utc))


def test_whoever_asked_for_something_is_named():
    """With the command, as it is typed."""
    told = {one.command: one.by for one in account_of("r1", everything()).asked}
    for word, who in (("deploy", "ann"), ("pause", "ann"), ("ack", "bob"), ("rollback", "bob")):
        assert told[f"rollout {word} --env production"] == who


def test_who_signed_off_is_named_and_who_did_without():
    """When they signed, and why the others were not waited for."""
    plan = examples.plan()
    statement = Statement(plan.digest, "production", "1.1.0", "carol", "c@desk", 900.0, 9e9, "fine")
    journal = rolled_back(plan)
    started = replace(
        journal[0][2], signoffs=(SignOff(statement, "a file"),), without_signoffs="an emergency"
    )
    journal[0] = (*journal[0][:2], started)
    page = incident_page(incident_of("r1", journal), (), utc)
    wanted = "| `900 UTC` | `carol (c@desk)` | `rollout approve --env production` | `fine` |"
    assert wanted in page
    assert "`an emergency`" in page


def hostile():
    release = Release(HOSTILE, HOSTILE, "c" * 64)
    plan = replace(examples.plan(), candidate=release)
    bad = Judged(30.0, (Verdict(HOSTILE, Answer.BREACH, HOSTILE, 1.0, 1.0),))
    why = StepFailed(Step.RETURN, Why(HOSTILE, HOSTILE))
    outcomes = {"ways": ["flip"], "because": {}, "statements": [{"sql": HOSTILE, "ms": 1.0}]}
    facts = [
        Started(plan, HOSTILE, HOSTILE),
        *steps(*plan.forward),
        *watched(),
        bad,
        StepBegan(Step.RETURN, 1),
        why,
        StepBegan(Step.RETURN, 2),
        StepDone(Step.RETURN, OUTCOMES[Step.RETURN]),
        *steps(*plan.back[1:]),
        Acknowledged(HOSTILE, HOSTILE),
        Notified(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE),
    ]
    mine = {Step.MIGRATE: outcomes | {"moved": True, "from": HOSTILE, "to": HOSTILE}}
    return lines(
        *(
            replace(fact, outcome=mine[fact.step])
            if isinstance(fact, StepDone) and fact.step in mine
            else fact
            for fact in facts
        )
    )


def pages():
    incident = incident_of(HOSTILE, hostile())
    log = Attached(HOSTILE, HOSTILE, "x.log", 1, HOSTILE)
    yield incident_page(incident, (log,), utc)
    yield deployment_page(account_of(HOSTILE, hostile()), utc)
    yield "\n".join(rca_values(incident, utc).values())
    yield json.dumps(incident_document(incident, (log,), utc))


@pytest.mark.parametrize(
    "page", list(pages()), ids=["incident", "report", "root cause", "document"]
)
def test_no_secret_and_no_control_character_gets_through(page):
    """Whoever wrote them into a name, a reason or an error."""
    assert "hunter2secret" not in page
    assert "ghp_aaaa" not in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", page)


@pytest.mark.parametrize("page", list(pages())[:3], ids=["incident", "report", "root cause"])
def test_no_markup_gets_through(page):
    """A real reader finds no link, no HTML, no heading of theirs; mentions are in code."""
    tokens = READER.parse(page)
    ours = {"What to do now", "Logs", "Steps", "The gates", "The watch", "The migration"}
    for at, token in enumerate(tokens):
        assert token.type not in {"html_block", "image"}
        for child in token.children or ():
            assert child.type not in {"html_inline", "image"}
            if child.type == "link_open":
                assert "evil" not in child.attrs["href"]
            if child.type == "text":
                assert "@" not in child.content
        if token.type == "heading_open":
            assert tokens[at + 1].content != "heading [x](http://evil.example)"
    headings = {tokens[at + 1].content for at, t in enumerate(tokens) if t.type == "heading_open"}
    assert not headings or headings & ours


def test_the_name_of_an_incident_is_a_file_name():
    """Whatever a rollout is called: an imported journal may say anything."""
    incident = incident_of("../../etc/passwd\n`x`", rolled_back())
    assert re.fullmatch(r"INC-[A-Za-z0-9._-]+", incident.name)
    assert "/" not in incident.name


def test_a_long_timeline_is_cut_in_the_middle():
    """Its beginning and its end are there."""
    plan = examples.plan(policy=examples.watch(auto_rollback=False))
    looks = [Observed(examples.seen(30.0 + n, look=3 + n)) for n in range(1, 900)]
    journal = deploy(BREACH, *looks, plan=plan)
    page = incident_page(incident_of("r1", journal), (), utc)
    assert "lines are left out" in page
    assert "look 902" in page
    assert "deploy of" in page
    assert len(page) < 100_000


def test_the_report_has_every_part():
    """Of a good release: outcome, steps with times, statements and locks, backup, told, asked."""
    journal = [
        *good(),
        (99, 3000.0, Notified("r1:1:deploy-start", "slack", "kept", 3, "no answer")),
    ]
    page = deployment_page(account_of("r1", journal), utc)
    for wanted in (
        *("promoted: 1.1.0", SHA, "41 ms", "`things`", "backups/toy.zip", "no answer", "`slack`"),
        *("`ann`", "rollout deploy --env production", "p95 is 900 ms", "`flip`", "1 s", "6 looks"),
    ):
        assert wanted in page, wanted
    for step in examples.plan().forward:
        assert f"| `{step}` |" in page


def test_a_canary_has_its_shares():
    """When how many users were moved, and that it did not come to the end."""
    plan = examples.canary(examples.plan())
    outcome = {"to": "new", "percent": 5.0}
    facts = [
        replace(fact, outcome=outcome)
        if isinstance(fact, StepDone) and fact.step is Step.SHIFT
        else fact
        for fact in steps(*plan.forward)
    ]
    journal = lines(Started(plan, "ann"), *facts, *watched(), BREACH, *steps(*plan.back))
    page = deployment_page(account_of("r1", journal), utc)
    assert "Planned: 5 %, 50 %, 100 %. It did not come to the last one." in page
    assert "| `5 %` |" in page
