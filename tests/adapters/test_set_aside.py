"""Files of set-aside rows: what was kept is read again, also what an older version kept."""

import hashlib

import pytest

from guarded_rollout.adapters.set_aside import AsideFiles
from guarded_rollout.core.changes import Change
from guarded_rollout.core.problems import BadInput
from guarded_rollout.ports import AsideNote
from guarded_rollout.testing.control import Told

NOTE = AsideNote("toy", "staging", "backups/b.zip", "0001", 0.0, "ann")
CHANGES = [
    Change("t", ("1",), None, {"id": "1"}, {"colour": None}),
    Change("t", ("2",), {"id": "2"}, {"id": "2"}, {"colour": "it's \n ä"}),
    Change("t", (None,), {"id": None}, None),
]


def read(aside, file):
    with aside.read(file, "staging") as (note, found):
        return note, list(found)


def test_what_is_kept_is_read_again(tmp_path):
    aside = AsideFiles(tmp_path)
    kept = aside.keep(NOTE, CHANGES, Told())
    assert read(aside, tmp_path / kept.file) == (NOTE, CHANGES)


def write(folder, *lines):
    file = folder / "set-aside_toy_staging_19700101_000000.jsonl"
    file.write_text("\n".join(lines) + "\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")
    return file


HEAD = (
    '{"set_aside":%d,"note":{"service":"toy","environment":"staging","backup":"backups/b.zip",'
    '"schema":"0001","at":0.0,"by":"ann"}}'
)


def test_a_file_without_columns_beside_is_read(tmp_path):
    """Format 1."""
    line = '{"table":"t","key":["1"],"before":null,"now":{"id":"1"}}'
    file = write(tmp_path, HEAD % 1, line)
    assert read(AsideFiles(tmp_path), file) == (NOTE, [Change("t", ("1",), None, {"id": "1"})])


def test_a_newer_file_is_refused(tmp_path):
    """What is in it that this version does not know would be lost."""
    with pytest.raises(BadInput, match="newer version"):
        read(AsideFiles(tmp_path), write(tmp_path, HEAD % 3))
