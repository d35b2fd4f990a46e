"""Incidents and reports on a world in memory: they are there when they should be, and only then."""

import json
import threading

import pytest

from guarded_rollout.core.facts import Acknowledged, PromoteAsked, RollbackAsked, StepDone
from guarded_rollout.core.plan import Kind, Step
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.incidents import MOST_LOG_BYTES, keep_incident, last_part
from guarded_rollout.engine.outbox import Outbox, tell_tracker
from guarded_rollout.engine.papers import Paperwork, deployment_report
from guarded_rollout.testing import examples

NEW, OLD = examples.NEW.name, examples.OLD.name


def incidents(bench):
    folder = bench.world.root / "incidents"
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def page(bench, rollout):
    return (bench.world.root / f"incidents/INC-{rollout}.md").read_text()


def document(bench, rollout):
    return json.loads((bench.world.root / f"incidents/INC-{rollout}.json").read_text())


def prints(bench, replica, text):
    file = bench.world.root / "printed" / f"{replica}.log"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def follow(bench, rollout, said=None):
    papers = Paperwork(bench.ports, rollout, (said if said is not None else []).append)
    papers.start()
    return papers


@pytest.fixture
def failing(settled):
    """NEW fails half of its requests and says so in its log."""
    settled.world.failing = {NEW: 0.5}
    prints(settled, f"{NEW}-0", "starting\npassword=hunter2secret\nit fails\n")
    prints(settled, f"{OLD}-0", "all is well\n")
    return settled


def test_a_rollback_by_itself_is_an_incident(failing):
    """With the gate's numbers, the backup's checksum, and the logs of both arms."""
    rollout = failing.begin()
    assert failing.drive(rollout).phase is Phase.ROLLED_BACK
    assert incidents(failing) == [
        *(f"INC-{rollout}", f"INC-{rollout}-rca.md", f"INC-{rollout}.json", f"INC-{rollout}.md")
    ]
    text = page(failing, rollout)
    assert "% failed" in text
    backup = failing.world.backups[-1]
    assert backup.sha256 in text
    assert backup.file in text
    logs = failing.world.root / "incidents" / f"INC-{rollout}"
    assert (logs / f"{NEW}-0.log").read_text() == "starting\npassword=[redacted]\nit fails\n"
    assert (logs / f"{OLD}-0.log").read_text() == "all is well\n"
    assert document(failing, rollout)["phase"] == "rolled-back"


def test_a_hold_is_an_incident_and_its_end_is_news(settled):
    """Written while it holds; anew when a person promotes it."""
    rollout = settled.begin(policy=examples.watch(auto_rollback=False))
    settled.world.failing = {NEW: 0.5}
    papers = follow(settled, rollout)
    guard = threading.Thread(target=settled.drive, args=(rollout,), daemon=True)
    guard.start()
    held = settled.world.root / f"incidents/INC-{rollout}.md"
    while not held.exists():
        settled.clock.sleep(0.1)
    while "gates: BREACH" not in held.read_text():
        settled.clock.sleep(0.1)
    assert "rollout promote --env production" in page(settled, rollout)
    assert document(settled, rollout)["cause"] == "held"
    settled.ask(rollout, PromoteAsked("ann", "known and harmless"))
    guard.join()
    papers.finish()
    assert document(settled, rollout)["phase"] == "done"
    assert "known and harmless" in page(settled, rollout)


def test_a_way_back_that_fails_is_an_incident(failing):
    """It is stuck, and says what to do."""
    rollout = failing.begin()
    failing.world.fails["stop"] = Broken("it does not die", "kill it")
    assert failing.drive(rollout).phase is Phase.STUCK
    assert document(failing, rollout)["phase"] == "stuck"
    assert "it does not die" in page(failing, rollout)
    assert "mend what it names" in page(failing, rollout)


def test_a_good_release_is_none(settled):
    """It has a report."""
    rollout = settled.begin()
    papers = follow(settled, rollout)
    assert settled.drive(rollout).phase is Phase.DONE
    papers.finish()
    assert incidents(settled) == []
    reports = sorted((settled.world.root / "logs").glob("deployment_report_production_*_*.md"))
    text = reports[-1].read_text()
    assert "promoted" in text
    assert settled.world.backups[-1].sha256 in text


def test_what_a_person_asked_for_is_none(settled):
    """While it runs, and afterwards."""
    rollout = settled.begin()

    def ask_once_users_are_on_it(entry):
        if isinstance(entry.fact, StepDone) and entry.fact.step is Step.SHIFT:
            settled.ask(rollout, RollbackAsked("ann", "changed my mind"))

    asked = settled.drive(rollout, show=ask_once_users_are_on_it)
    assert asked.phase is Phase.ROLLED_BACK
    assert settled.deploy().phase is Phase.DONE
    assert settled.drive(settled.begin(Kind.ROLLBACK)).phase is Phase.ROLLED_BACK
    assert incidents(settled) == []


def test_a_full_disk_is_told_and_stops_no_way_back(failing):
    """Nothing is written, users are on the old version; later it can be made from the journal."""
    failing.world.fails["write"] = Broken("incidents: no space left on device", "make room")
    said: list[str] = []
    rollout = failing.begin()
    papers = follow(failing, rollout, said)
    assert failing.drive(rollout).phase is Phase.ROLLED_BACK
    assert failing.world.serving() == OLD
    papers.finish()
    assert incidents(failing) == []
    assert any("no space left" in text for text in said)
    assert len(said) < 10
    del failing.world.fails["write"]
    assert keep_incident(failing.ports, rollout)
    assert "no space left on device" in page(failing, rollout)


def test_a_root_cause_is_never_overwritten(failing):
    """People write there."""
    rollout = failing.begin()
    failing.drive(rollout)
    rca = failing.world.root / f"incidents/INC-{rollout}-rca.md"
    assert rca.read_text() == f"# incident/rca.md of INC-{rollout}\n"
    rca.write_text("it was the cache\n")
    failing.ask(rollout, Acknowledged("bob", "on it"))
    keep_incident(failing.ports, rollout)
    assert rca.read_text() == "it was the cache\n"
    assert "`bob` is on it since" in page(failing, rollout)


def test_logs_are_left_as_they_were_taken(failing):
    """The same release may run again under its name."""
    rollout = failing.begin()
    failing.drive(rollout)
    prints(failing, f"{NEW}-0", "another life\n")
    keep_incident(failing.ports, rollout)
    kept = failing.world.root / "incidents" / f"INC-{rollout}" / f"{NEW}-0.log"
    assert "it fails" in kept.read_text()
    assert f"INC-{rollout}/{NEW}-0.log" in page(failing, rollout)


def test_a_long_log_has_its_end_attached(tmp_path):
    """Whole lines, no more than a megabyte, and no half of a secret."""
    log = tmp_path / "log"
    key = "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 400 + "\n-----END PRIVATE KEY-----\n"
    line = f"{'x' * 200} password=hunter2secret ✓\n"
    body = line * 6000
    log.write_text(body + key + line * 4700)
    text, cut = last_part(log)
    assert cut
    assert len(text.encode()) <= MOST_LOG_BYTES
    assert set(text.splitlines()) == {f"{'x' * 200} password=[redacted] ✓"}
    log.write_text(key[40:] + line)
    assert last_part(log)[1] is False
    log.write_bytes(b"\x1b[31m\xff\xfe\x00end\n")
    assert last_part(log) == ("\ufffd[31m\ufffd\ufffd\ufffdend\n", False)


def test_the_tracker_hears_of_incidents_only(failing):
    """In order, each once, and what came of it is in the journal."""
    failing.world.tracker = "github"
    rollout = failing.begin()
    failing.drive(rollout)
    failing.ask(rollout, Acknowledged("bob", "on it"))
    outbox = Outbox(failing.ports, "production", rollout)
    outbox.start()
    outbox.finish(lambda: False)
    (issue,) = failing.world.issues
    assert issue == f"INC-{rollout}"
    told = [key.rpartition(":")[2] for key in failing.world.issues[issue]]
    assert told == ["rollback-start", "rollback-success", "info"]
    again = Outbox(failing.ports, "production", rollout)
    again.start()
    again.finish(lambda: False)
    assert len(failing.world.issues[issue]) == 3
    assert tell_tracker(failing.ports, rollout).status == "delivered"
    failing.world.deaf = {"github"}
    assert tell_tracker(failing.ports, rollout).status == "kept"
    failing.world.failing = {}
    good = failing.begin()
    failing.drive(good)
    outbox = Outbox(failing.ports, "production", good)
    outbox.start()
    outbox.finish(lambda: False)
    assert list(failing.world.issues) == [issue]


def test_a_report_can_be_had_at_any_time(failing):
    """From the journal alone."""
    rollout = failing.begin()
    failing.drive(rollout)
    text = deployment_report(failing.journal, rollout)
    assert f"rolled back: {OLD} serves production" in text
    assert "| `confirm` |" in text
