"""`rollout ack`: who is called is answered, whatever was begun since."""

import contextlib

from guarded_rollout.core.facts import Acknowledged


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
