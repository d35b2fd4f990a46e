"""Who is called is answered, and who was not told is told, whatever was begun since."""

import contextlib

from guarded_rollout.cli import guard
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.facts import Acknowledged, Notified


def acknowledged(project, rollout):
    with contextlib.closing(project.journal()) as journal:
        facts = [entry.fact for entry in journal.entries(rollout)]
    return [fact.reason for fact in facts if isinstance(fact, Acknowledged)]


def test_an_incident_is_answered_though_another_rollout_came_after_it(project):
    """That one went well and calls nobody."""
    incident = project.rolled_back()
    later = project.begin(name="production-later")
    project.promote(later)
    answer = project.run("ack", "--env", "production", "--reason", "looking", "--json")
    assert answer.code == 0, answer
    assert answer.document["rollouts"] == [incident]
    assert acknowledged(project, incident) == ["looking"]
    assert acknowledged(project, later) == []


def test_every_incident_is_answered_at_once(project):
    """One person is on both; afterwards it is the newest that is spoken of."""
    first = project.rolled_back()
    second = project.rolled_back(name="production-second")
    answer = project.run("ack", "--env", "production", "--reason", "both", "--json")
    assert answer.document["rollouts"] == [second, first]
    again = project.run("ack", "--env", "production", "--reason", "again", "--json")
    assert again.document["rollouts"] == [second]
    assert acknowledged(project, first) == ["both"]


def test_what_nobody_is_called_for_can_be_acknowledged_too(project):
    """The newest, active or not."""
    rollout = project.promoted()
    assert project.run("ack", "--env", "production").code == 0
    assert acknowledged(project, rollout) == [""]


def test_people_are_told_of_an_incident_though_another_rollout_came_after_it(project, monkeypatch):
    """Its guard was killed before it could; one rollout after the other gets a new one."""
    monkeypatch.setenv("NOTIFY_WEBHOOK_URL", "http://127.0.0.1:9/nobody")
    started = []
    monkeypatch.setattr(guard, "spawn", lambda _, known: started.append(known.rollout))
    earlier = project.refused("production-earlier")
    incident = project.rolled_back()
    heard = Notified(f"{incident}:1:deploy-start", "webhook", "delivered")
    with contextlib.closing(project.journal()) as journal:
        journal.append(None, incident, heard, after=journal.entries(incident)[-1].seq)
    later = project.begin(name="production-later")
    project.promote(later)
    assert project.run("resume", "--env", "production").code == 0
    assert started == [incident], f"{earlier} was told on no channel that there is"
    with contextlib.closing(project.journal()) as journal:
        guard.ensure_told(Places(project.root), journal, "production", {incident})
    assert started == [incident, later]


def test_what_was_told_is_not_looked_at_again(project, monkeypatch):
    """The agent asks every few seconds, for as long as it lives."""
    monkeypatch.setattr(guard, "owed", lambda *_, **__: False)
    rollout = project.promoted()
    told = set()
    with contextlib.closing(project.journal()) as journal:
        assert guard.ensure_told(Places(project.root), journal, "production", told) is None
        assert told == {rollout}
        monkeypatch.setattr(guard, "owed", None)
        assert guard.ensure_told(Places(project.root), journal, "production", told) is None
