"""The ledger: whole at every moment, bounded, with several writers."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.notify import ledger as module
from guarded_rollout.notify.ledger import Entry, Ledger, Status
from guarded_rollout.notify.locks import Held, locked


def entry(number=0, **changed):
    made = Entry(
        key=f"k{number}",
        channel="slack",
        kind="slack",
        status=Status.DELIVERED,
        type="error",
        environment="production",
        severity="error",
        message="m",
        at=float(number),
        time="",
        changed=0.0,
    )
    return replace(made, **changed)


def ledger(root, tries=100_000):
    left = iter(range(tries))
    return Ledger(root, lambda: 7.0, lambda: next(left, None) is not None)


def test_it_is_a_list_that_jq_reads(tmp_path):
    """As the documents do: .[] | select(.type == "error")."""
    ledger(tmp_path).write(entry())
    (written,) = json.loads((tmp_path / "logs/notifications.json").read_text())
    assert (written["type"], written["status"], written["changed"]) == ("error", "delivered", 7.0)
    assert (tmp_path / "logs/notifications.json").stat().st_mode & 0o777 == 0o600


def test_an_entry_takes_the_place_of_the_same_one(tmp_path):
    """A dry run is another one."""
    book = ledger(tmp_path)
    book.write(entry(status=Status.SENDING))
    book.write(entry(1))
    book.write(entry(status=Status.DRY_RUN))
    book.write(entry(status=Status.DELIVERED))
    statuses = [(one.key, one.status) for one in book.entries()]
    assert statuses == [
        ("k0", Status.DELIVERED),
        ("k1", Status.DELIVERED),
        ("k0", Status.DRY_RUN),
    ]
    assert book.find("k0", "slack").status is Status.DELIVERED
    assert book.find("k0", "teams") is None


@pytest.mark.parametrize("limit", ["MOST_ENTRIES", "MOST_BYTES"])
def test_it_is_bounded_and_what_is_under_way_stays(tmp_path, monkeypatch, limit):
    """The oldest finished ones go."""
    monkeypatch.setattr(module, limit, 5 if limit == "MOST_ENTRIES" else 2500)
    book = ledger(tmp_path)
    book.write(entry(0, status=Status.SENDING))
    for number in range(1, 30):
        book.write(entry(number))
    kept = [one.key for one in book.entries()]
    assert 3 <= len(kept) <= 10
    assert (kept[0], kept[-1]) == ("k0", "k29")


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'[{"a": 1}]', b"\xff", b"[7]"])
def test_a_file_that_is_no_ledger_is_put_aside(tmp_path, content):
    """Not overwritten: somebody may want to look."""
    file = tmp_path / "logs" / "notifications.json"
    file.parent.mkdir()
    file.write_bytes(content)
    book = ledger(tmp_path)
    assert book.entries() == []
    book.write(entry())
    assert len(book.entries()) == 1
    assert (file.parent / "notifications.broken-7.json").read_bytes() == content


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from guarded_rollout.notify.ledger import Entry, Ledger, Status
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 25):
    words = ("slack", "slack", Status.DELIVERED, "error", "", "", "")
    entry = Entry(f"k{number}", *words, 0.0, "", 0.0)
    Ledger(Path(sys.argv[1]), lambda: 7.0, lambda: True).write(entry)
"""


def test_two_writers_lose_nothing(tmp_path):
    """Two processes."""
    source = str(Path(module.__file__).parents[2])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), first, source])
        for first in ("0", "100")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    keys = {one.key for one in ledger(tmp_path).entries()}
    assert keys == {f"k{number}" for number in (*range(25), *range(100, 125))}


def test_a_lock_is_not_waited_for_without_an_end(tmp_path):
    """And it ends with whoever held it."""
    file = tmp_path / "x.lock"
    with locked(file, lambda: False), pytest.raises(Held), locked(file, lambda: False):
        pass
    child = os.fork()
    if child == 0:
        with locked(file, lambda: False):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with locked(file, lambda: False):
        pass
