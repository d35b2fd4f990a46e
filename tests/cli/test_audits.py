"""The trail for auditors: whatever was changed in it, or in the journal behind it, is found."""

import contextlib
import json
import sqlite3

import pytest

from guarded_rollout.core.summed_lines import Sums


@pytest.fixture
def trail(project):
    """A promoted rollout's, in `audit.jsonl`. Its lines."""
    project.promoted()
    answer = project.run("audit", "export")
    assert (answer.code, answer.err) == (0, "")
    project.write("audit.jsonl", answer.out)
    return answer.out.splitlines(keepends=True)


def summed_anew(lines):
    """As a forger would, who knows the format."""
    sums = Sums()
    contents = [json.loads(line) for line in lines]
    for content in contents:
        content.pop("sum")
    return [sums.line(content).decode() for content in contents]


def test_it_says_who_did_what_when_and_why(project, trail):
    """One line per entry that says anything, with its hash in the journal."""
    first, started, *_, last = [json.loads(line) for line in trail]
    assert (first["format"], first["environment"]) == ("guarded-rollout audit 1", None)
    assert (started["seq"], started["kind"], started["who"]) == (1, "started", "ops@here")
    assert started["said"][0].startswith("deploy of 1.1.0-")
    assert started["at"].endswith(" UTC")
    head = project.run("audit", "verify", "--json").document["head"]
    assert last["head"] == head
    answer = project.run("audit", "verify", "audit.jsonl")
    assert answer.code == 0
    assert f"audit.jsonl is whole: {len(trail) - 2} entries, as in the journal" in answer.out


CHANGES = {
    "a byte": (lambda lines: [*lines[:3], lines[3].replace("e", "f", 1), *lines[4:]], 4),
    "the order": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 4),
    "a line is missing": (lambda lines: [*lines[:3], *lines[4:]], 4),
    "a line twice": (lambda lines: [*lines[:4], lines[3], *lines[4:]], 5),
    "the end is cut off": (lambda lines: lines[:-1], None),
    "more behind the end": (lambda lines: [*lines, lines[-1]], None),
    "no such file": (lambda _: ['{"format": "something else"}\n'], 1),
    "no JSON": (lambda lines: [*lines[:2], "what?\n"], 3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_found_at_that_line(project, trail, change):
    """Without any journal."""
    alter, at = CHANGES[change]
    altered = alter(trail)
    project.write("audit.jsonl", "".join(altered))
    (project.root / ".rollout" / "journal.db").rename(project.root / "elsewhere.db")
    answer = project.run("audit", "verify", "audit.jsonl")
    assert answer.code == 3, answer.out
    number = at or len(trail) + (1 if len(altered) > len(trail) else 0)
    assert f"audit.jsonl:{number}: this line " in answer.err


@pytest.mark.parametrize("key", ["who", "at", "said", "hash"])
def test_a_forged_file_differs_from_the_journal(project, trail, key):
    """All sums fit; the entry is named, and what of it."""
    content = json.loads(trail[3])
    forged = {**content, key: ["somebody else"] if key == "said" else "somebody else"}
    lines = [*trail[:3], json.dumps(forged), *trail[4:]]
    project.write("audit.jsonl", "".join(summed_anew(lines)))
    answer = project.run("audit", "verify", "audit.jsonl")
    assert answer.code == 3
    assert f"differ at entry {content['seq']}: the journal says otherwise: {key}" in answer.err


def cut_off(project, count):
    with contextlib.closing(sqlite3.connect(project.root / ".rollout" / "journal.db")) as db:
        db.execute("DROP TRIGGER facts_never_go")
        db.execute("DELETE FROM facts WHERE seq > (SELECT max(seq) - ? FROM facts)", (count,))
        db.commit()


def test_entries_that_were_cut_off_are_missed(project, trail):
    """By the file, and by the head that was noted: the chain alone cannot know."""
    head = json.loads(trail[-1])["head"]
    assert project.run("audit", "verify", "--head", head).code == 0
    cut_off(project, 2)
    assert project.run("audit", "verify").code == 0
    answer = project.run("audit", "verify", "--head", head)
    assert answer.code == 3
    assert f"has no entry {head}" in answer.err
    answer = project.run("audit", "verify", "audit.jsonl")
    assert answer.code == 3
    assert "the journal has lost it" in answer.err


def test_a_journal_that_grew_still_has_the_file(project, trail):
    """What came later is no difference."""
    project.write("half.jsonl", "".join(summed_anew([*trail[:4], _end(trail[:4])])))
    assert project.run("audit", "verify", "half.jsonl").code == 0


def _end(lines):
    last = json.loads(lines[-1])
    return json.dumps({"entries": len(lines) - 1, "head": last["hash"], "sum": ""})
