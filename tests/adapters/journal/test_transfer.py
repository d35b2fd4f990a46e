"""A journal as a file, from each kind into each kind; whatever is wrong with it names its line."""

import json

import pytest
from journal_kinds import KINDS

from guarded_rollout.adapters.journal.transfer import File
from guarded_rollout.core.facts import Adopted, RollbackAsked, Started, StepBegan
from guarded_rollout.core.plan import Step
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.core.summed_lines import Sums

BOTH = ("postgres", "sqlite")


@pytest.fixture
def opened(tmp_path, request):
    """Opens an empty journal of a kind."""
    made = []

    def opens(kind):
        folder = tmp_path / f"{kind}{len(made)}"
        folder.mkdir()
        _, opening = KINDS[kind](folder, request)
        made.append(opening())
        return made[-1]

    yield opens
    for journal in made:
        journal.close()


@pytest.fixture
def fill(started):
    """Two environments, one rollout that ended, one that has not, one backup."""

    def fills(journal):
        first = journal.begin("production", "r-ü", started(), exclusive=True)
        lease = journal.claim("production", "guard")
        second = journal.append(lease, "r-ü", StepBegan(Step.BUILD, 1), after=first.seq)
        journal.begin("staging", "s1", started("staging"), exclusive=True)
        journal.append(lease, "r-ü", Adopted("guard"), after=second.seq, ended="done")
        plan = started().plan
        backup = Started(plan, "ann", "nightly", "box")
        journal.begin("production", "b1", backup, exclusive=False)
        journal.release(lease)
        journal.release(journal.claim("production", "guard"))
        return journal

    return fills


def exported(journal, path, environment=None):
    path.write_bytes(b"".join(journal.lines(environment)))
    return path


def checked(path):
    file = File(path)
    file.check()
    return file


@pytest.mark.parametrize("into", BOTH)
@pytest.mark.parametrize("source", BOTH)
def test_what_goes_out_comes_in(opened, fill, tmp_path, source, into):
    """Entries, endings, who may run beside whom, and fences that go on rising."""
    old, new = fill(opened(source)), opened(into)
    path = exported(old, tmp_path / "all.jsonl")
    assert new.take_in(checked(path)) is True
    assert new.verify() == old.verify()
    assert new.verify().entries == 5
    assert new.known() == old.known()
    for known in old.known():
        assert new.entries(known.rollout) == old.entries(known.rollout)
    assert new.active("staging").rollout == "s1"
    assert new.active("production") is None
    assert new.holder("production") is None
    assert new.claim("production", "guard").fence == 3
    assert exported(old, tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    assert new.take_in(checked(path)) is False, "twice is no harm"
    journal_goes_on(new)
    with pytest.raises(NotPossible, match="has 6 entries already"):
        new.take_in(checked(path))


@pytest.mark.parametrize("kind", BOTH)
def test_an_export_beside_a_writer_is_one_moment_of_the_journal(opened, fill, tmp_path, kind):
    """What ends and what is said afterwards, while the file is being written, is not in it."""
    old, new = fill(opened(kind)), opened(kind)
    written = old.lines()
    path = tmp_path / "then.jsonl"
    head = [next(written), next(written)]
    last = old.entries("s1")[-1]
    old.append(None, "s1", RollbackAsked("ann", "no"), after=last.seq, ended="refused")
    path.write_bytes(b"".join([*head, *written]))
    assert new.take_in(checked(path)) is True
    assert new.active("staging").rollout == "s1"
    assert new.known("production") == old.known("production")
    assert old.active("staging") is None


def journal_goes_on(journal):
    lease = journal.claim("staging", "guard")
    last = journal.entries("s1")[-1]
    journal.append(lease, "s1", Adopted("guard"), after=last.seq)
    assert journal.verify().problem is None


@pytest.mark.parametrize("kind", BOTH)
def test_an_empty_journal_is_a_file_too(opened, tmp_path, kind):
    """Of three lines at most."""
    path = exported(opened(kind), tmp_path / "none.jsonl")
    assert checked(path).entries == 0
    assert opened(kind).take_in(checked(path)) is True


def test_one_environment_can_be_read_but_not_imported(opened, fill, tmp_path):
    """Between its entries are gaps."""
    path = exported(fill(opened("sqlite")), tmp_path / "one.jsonl", "production")
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seq"] for line in told if "seq" in line] == [1, 2, 4, 5]
    assert {line["environment"] for line in told if "fence" in line and "seq" not in line} == {
        "production"
    }
    with pytest.raises(NotPossible, match="entries of production alone"):
        checked(path)


@pytest.fixture
def sound(opened, fill, tmp_path):
    return exported(fill(opened("sqlite")), tmp_path / "sound.jsonl")


def test_every_changed_byte_is_found_in_its_line(sound, tmp_path):
    """Each byte of the file in turn."""
    data = sound.read_bytes()
    path = tmp_path / "changed.jsonl"
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        line = data[:at].count(b"\n") + 1
        with pytest.raises(BadInput, match=rf"changed.jsonl:{line}: this line"):
            checked(path)


def test_every_line_that_is_missing_or_doubled_is_found(sound, tmp_path):
    """At the line that stands in its place."""
    lines = sound.read_bytes().splitlines(keepends=True)
    path = tmp_path / "changed.jsonl"
    for number in range(len(lines)):
        for changed, place in (
            (lines[:number] + lines[number + 1 :], number + 1),
            (lines[: number + 1] + lines[number:], number + 2),
            (lines[:number], number + 1),
        ):
            path.write_bytes(b"".join(changed))
            with pytest.raises(BadInput, match=rf"changed.jsonl:{place}: this line"):
                checked(path)


def test_a_forger_who_mends_the_sums_still_breaks_the_chain(sound, tmp_path):
    """An entry that was taken out, and one that says something else."""
    told = [json.loads(line) for line in sound.read_text().splitlines()]
    for change, says in (
        (lambda lines: lines.pop(2), "3: this line breaks the chain: entry 2 is missing"),
        (lambda lines: lines[2].update(at=1.0), "3: this line breaks the chain: entry 2 was"),
    ):
        forged = [{k: v for k, v in line.items() if k != "sum"} for line in told]
        change(forged)
        sums = Sums()
        path = tmp_path / "forged.jsonl"
        path.write_bytes(b"".join(sums.line(line) for line in forged))
        with pytest.raises(BadInput, match=says):
            checked(path)


@pytest.mark.parametrize("kind", BOTH)
def test_a_file_that_turns_bad_between_check_and_import_leaves_nothing(
    opened, sound, tmp_path, kind
):
    """All or none."""
    file = checked(sound)
    lines = sound.read_bytes().splitlines(keepends=True)
    sound.write_bytes(b"".join(lines[:4]))
    journal = opened(kind)
    with pytest.raises(BadInput, match="cut off"):
        journal.take_in(file)
    assert journal.verify().entries == 0
    assert journal.known() == ()


def test_a_journal_that_was_changed_is_not_exported(opened, fill, tmp_path):
    """A copy of damage is no copy."""
    import sqlite3
    from contextlib import closing

    journal = fill(opened("sqlite"))
    with closing(sqlite3.connect(tmp_path / "sqlite0" / "journal.db", isolation_level=None)) as c:
        c.execute("DROP TRIGGER facts_never_change")
        c.execute("UPDATE facts SET at = 1 WHERE seq = 2")
    with pytest.raises(Broken, match="the journal was changed: entry 2 was changed"):
        list(journal.lines())
