"""A journal that was cut, torn or rewritten says so in one sentence, and nobody acts on it."""

import sqlite3
from contextlib import closing

import pytest

from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.core.chain import GENESIS, link
from guarded_rollout.core.facts import Adopted, encode
from guarded_rollout.core.problems import Broken

ENTRIES = 40
TRIGGERS = ("facts_never_change", "facts_never_go", "facts_follow_each_other", "rollouts_only_end")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def filled(journal, started):
    """Forty entries of one rollout."""
    last = journal.begin("production", "r1", started(), exclusive=True)
    lease = journal.claim("production", "guard")
    for number in range(ENTRIES - 1):
        last = journal.append(lease, "r1", Adopted(f"guard {number}"), after=last.seq)
    return journal


@pytest.fixture
def tamper(path):
    """Runs SQL as somebody who took the triggers away first."""

    def runs(*statements):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for trigger in TRIGGERS:
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            for statement in statements:
                connection.execute(*statement) if isinstance(
                    statement, tuple
                ) else connection.execute(statement)

    return runs


@pytest.mark.parametrize(
    ("column", "value", "at", "says"),
    [
        ("body", b'{"by":"somebody else"}', 17, "entry 17 was changed"),
        ("body", "text", 17, "entry 17 was changed"),
        ("at", 1.0, 17, "entry 17 was changed"),
        ("kind", "observed", 17, "entry 17 was changed"),
        ("rollout", "r2", 17, "entry 17 was changed"),
        ("hash", "0" * 64, 17, "entry 17 was changed"),
        ("prev", "0" * 64, 17, "entry 17 does not follow entry 16"),
        ("seq", 99, 17, "entry 17 is missing: 16 is followed by 18"),
    ],
)
def test_a_changed_entry_is_found(filled, tamper, column, value, at, says):
    """Whatever was changed in it."""
    tamper((f"UPDATE facts SET {column} = ? WHERE seq = ?", (value, at)))
    audit = filled.verify()
    assert audit.problem.startswith(says)
    assert (audit.broken_at, audit.entries) == (at, at - 1)


def test_an_entry_that_was_taken_out_is_found(filled, tamper):
    """The gap shows."""
    tamper("DELETE FROM facts WHERE seq = 5")
    audit = filled.verify()
    assert audit.problem == "entry 5 is missing: 4 is followed by 6"
    assert audit.broken_at == 5


def test_an_entry_that_was_rewritten_with_its_hash_is_found(filled, tamper):
    """A forger must rewrite everything after it, and then the head differs from what was noted."""
    before = filled.entries("r1")[8].hash
    kind, body = encode(Adopted("forger"))
    at = filled.entries("r1")[9].at
    own = link(before, 10, rollout="r1", at=at, kind=kind, body=body)
    tamper(("UPDATE facts SET body = ?, hash = ? WHERE seq = 10", (body, own)))
    audit = filled.verify()
    assert audit.problem == "entry 11 does not follow entry 10: one of them was changed"
    assert audit.head == own


def test_an_entry_that_hides_from_its_rollout_is_found(filled, tamper, path):
    """A well-linked chain whose rollout never started, or started twice, or is listed wrongly."""
    sound = filled.verify()
    kind, body = encode(Adopted("x"))
    own = link(sound.head, 41, rollout="r9", at=1.0, kind=kind, body=body)
    row = (41, "r9", 1.0, kind, body, 0, sound.head, own)
    tamper(("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row))
    problem = "entry 41 belongs to rollout r9, which was never started"
    assert filled.verify().problem == problem

    kind, body = encode(filled.entries("r1")[0].fact)
    own = link(sound.head, 41, rollout="r1", at=1.0, kind=kind, body=body)
    row = (41, "r1", 1.0, kind, body, 0, sound.head, own)
    tamper(
        "DELETE FROM facts WHERE seq = 41",
        ("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row),
    )
    assert filled.verify().problem == "entry 41 starts rollout r1 a second time"

    tamper("DELETE FROM facts WHERE seq = 41", "UPDATE rollouts SET environment = 'staging'")
    assert "listed as something else than its entry 1" in filled.verify().problem


def test_a_kind_of_fact_that_nobody_knows_is_named(filled, tamper):
    """Written by another program, with a hash that fits."""
    head = filled.verify().head
    own = link(head, 41, rollout="r1", at=1.0, kind="dreamt", body=b"{}")
    row = (41, "r1", 1.0, "dreamt", b"{}", 0, head, own)
    tamper(("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row))
    assert filled.verify().problem == "entry 41 cannot be read: unknown kind of fact: 'dreamt'"
    with pytest.raises(Broken, match=r"entry 41 .* cannot be trusted: unknown kind"):
        filled.entries("r1")


def test_a_cut_tail_shows_in_the_head_only(filled, tamper):
    """Which is why the head is printed; a rollout without any entry shows by itself."""
    head = filled.verify().head
    tamper("DELETE FROM facts WHERE seq > 30")
    audit = filled.verify()
    assert (audit.problem, audit.entries) == (None, 30)
    assert audit.head != head
    tamper("DELETE FROM facts")
    assert filled.verify().problem == "rollout r1 has lost all its entries"


def test_nobody_acts_on_a_changed_entry(filled, tamper):
    """Reading a rollout checks the hash of what it reads."""
    changed = "replace(CAST(body AS TEXT), 'production', 'prod')"
    tamper(f"UPDATE facts SET body = CAST({changed} AS BLOB) WHERE seq = 1")
    with pytest.raises(Broken) as caught:
        filled.entries("r1")
    assert "entry 1 of the journal" in caught.value.why.what
    assert "rollout audit verify" in caught.value.why.hint


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.8, 0.99])
def test_a_truncated_file_is_one_clear_sentence(filled, path, share, clock):
    """Half a copy, a full disk: for verify a finding, for everything else a problem."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for journal in (filled, open_readonly(path, clock)):
        audit = journal.verify()
        assert audit.problem is not None
        assert "\n" not in audit.problem
        assert audit.broken_at == (None if audit.entries == ENTRIES else audit.entries + 1)


@pytest.mark.parametrize("back", range(1, 8))
def test_a_torn_page_is_found(filled, path, back):
    """Each of the last pages in turn, half of it overwritten as a dying disk does."""
    size = 4096
    content = bytearray(path.read_bytes())
    torn = len(content) - back * size
    content[torn : torn + size // 2] = b"\xa5" * (size // 2)
    path.write_bytes(content)
    audit = filled.verify()
    assert audit.problem is not None
    assert "\n" not in audit.problem


def test_what_could_be_read_is_told(filled, path):
    """Entries before the page that is gone are still checked, one by one."""
    content = bytearray(path.read_bytes())
    page = content.index(b"guard 38") // 4096
    content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    audit = filled.verify()
    assert audit.problem == (
        f"after entry {audit.entries}: the journal {path} is damaged: "
        "database disk image is malformed"
    )
    assert 0 < audit.entries < ENTRIES
    assert audit.broken_at == audit.entries + 1


def test_a_damaged_index_is_found_though_all_entries_are_sound(filled, path):
    """The chain is whole, the file is not."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'one_active_rollout'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096] = 0xA5
    path.write_bytes(content)
    problem = filled.verify().problem
    assert problem is not None
    assert "\n" not in problem


def test_something_else_is_no_journal(tmp_path, clock, open_journal):
    """A text file, another program's database, an empty file: none is overwritten."""
    path = tmp_path / "journal.db"
    contents = [b"", b"hello\n" * 1000]
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE other (x)")
    contents.append(other.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(Broken) as caught:
            open_journal()
        assert str(path) in caught.value.why.what
        audit = open_readonly(path, clock).verify()
        assert (audit.entries, audit.head) == (0, GENESIS)
        assert audit.problem is not None
        assert path.read_bytes() == content


def test_verify_reads_in_constant_memory(filled, path):
    """Many entries more do not need more: they are read in batches."""
    import tracemalloc

    def peak() -> int:
        tracemalloc.start()
        assert filled.verify().problem is None
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def grow(to):
        head = filled.verify().head
        kind, body = encode(Adopted("x" * 1000))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            (last,) = connection.execute("SELECT max(seq) FROM facts").fetchone()
            for seq in range(last + 1, to + 1):
                own = link(head, seq, rollout="r1", at=1.0, kind=kind, body=body)
                row = (seq, "r1", 1.0, kind, body, 0, head, own)
                connection.execute("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                head = own
            connection.execute("COMMIT")

    grow(2000)
    few = peak()
    grow(10000)
    assert peak() < 1.2 * few
