"""Damaged, swapped and foreign backups, of both databases: none is taken for a good one."""

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded_rollout.core.problems import BadInput, Broken, Problem
from guarded_rollout.testing.control import Told
from tests.adapters.archive.worlds import REQUEST, ROWS

EVERY_BIT = [1 << bit for bit in range(8)]
ANYTHING = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refused(world, backup, kind=Broken):
    """By verify and by the drill; the message names the file and says what to do."""
    for look in (world.verify, world.drill):
        with pytest.raises(kind, match=re.escape(backup.file)) as caught:
            look(backup)
        assert caught.value.why.hint
    return str(caught.value)


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def test_a_sound_backup_passes_all_three(world):
    """So that what follows means something."""
    backup = world.create()
    assert world.verify(backup) == backup
    assert world.drill(backup).hashed
    assert world.archive.backups() == (backup,)


def test_a_bit_of_every_single_byte_of_the_zip_counts(world):
    """The list sees it too."""
    backup = world.create()
    whole = world.zip(backup).read_bytes()
    for at in range(len(whole)):
        world.zip(backup).write_bytes(flipped(whole, at, EVERY_BIT[at % 8]))
        with pytest.raises(Broken, match="is not what was written"):
            world.verify(backup)
        assert at % 50 or not world.archive.backups()[0].verified
    world.zip(backup).write_bytes(whole)
    assert world.verify(backup) == backup


def test_every_single_bit_of_the_checksum_file_counts(world):
    """Also those of the name in it, which only sha256sum reads."""
    backup = world.create()
    whole = world.sums(backup).read_bytes()
    for at in range(len(whole)):
        for mask in EVERY_BIT:
            world.sums(backup).write_bytes(flipped(whole, at, mask))
            with pytest.raises(Broken, match=re.escape(world.zip(backup).name)):
                world.verify(backup)
            assert not world.archive.backups()[0].verified
    world.sums(backup).write_bytes(whole)
    assert world.verify(backup) == backup


def test_every_truncation_is_refused(world):
    """Of the zip at every length, of the checksum file at all but one: its last line end."""
    backup = world.create()
    for path in (world.zip(backup), world.sums(backup)):
        whole = path.read_bytes()
        for length in range(len(whole) - (path == world.sums(backup))):
            path.write_bytes(whole[:length])
            with pytest.raises(Broken, match=re.escape(world.zip(backup).name)):
                world.verify(backup)
        path.write_bytes(whole)
    world.sums(backup).write_text(world.sums(backup).read_text().removesuffix("\n"))
    assert world.verify(backup) == backup


@ANYTHING
@given(st.data())
def test_whatever_else_happens_to_the_bytes_is_refused(world, data):
    """Blocks zeroed, moved, repeated, added: by the one checksum, whatever is inside."""
    backup = _only(world)
    whole = world.zip(backup).read_bytes()
    at, to = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
    spoilt = data.draw(
        st.sampled_from(
            [
                whole[:at] + bytes(to - at) + whole[to:],
                whole[:at] + whole[to:],
                whole[:to] + whole[at:],
                whole[at:to] + whole,
                whole + whole[at:to],
                whole[at:] + whole[:at],
            ]
        )
    )
    try:
        world.zip(backup).write_bytes(spoilt)
        if spoilt == whole:
            assert world.verify(backup) == backup
        else:
            with pytest.raises(Broken, match="is not what was written"):
                world.verify(backup)
    finally:
        world.zip(backup).write_bytes(whole)


@ANYTHING
@given(st.data())
def test_spoilt_and_summed_again_it_is_refused_or_has_the_very_same_contents(world, data):
    """Also behind a fitting checksum no altered member passes, and only problems are raised."""
    backup = _only(world)
    whole = world.zip(backup).read_bytes()
    sums = world.sums(backup).read_bytes()
    members = _members(world, backup)
    at = data.draw(st.integers(0, len(whole) - 1))
    spoilt = data.draw(
        st.just(whole[:at]) | st.builds(flipped, st.just(whole), st.just(at), st.integers(1, 255))
    )
    try:
        world.zip(backup).write_bytes(spoilt)
        world.sum_again(backup)
        try:
            found = world.verify(backup)
        except Problem as problem:
            assert backup.file in str(problem)  # noqa: PT017 - either is right
            return
        assert found.rows == backup.rows
        said = json.loads(members["MANIFEST.json"])
        for name, content in _members(world, backup).items():
            if name != "MANIFEST.json":
                assert content == members[name]
        assert len(said["members"]) == len(members) - 1
    finally:
        world.zip(backup).write_bytes(whole)
        world.sums(backup).write_bytes(sums)


def _only(world):
    """Hypothesis calls a test many times with one world: one backup is enough."""
    found = world.archive.backups()
    return found[0] if found else world.create()


def _members(world, backup):
    with zipfile.ZipFile(world.zip(backup)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_another_backups_zip_under_this_ones_checksum_is_refused(world):
    """Whole, but another one."""
    first, second = world.create(), world.create()
    shutil.copy(world.zip(first), world.zip(second))
    assert "is not what was written" in refused(world, second)


def test_another_backup_with_its_own_checksum_is_refused_under_this_name(world):
    """sha256sum is content; the name does not fit what is inside."""
    first, second = world.create(), world.create()
    shutil.copy(world.zip(first), world.zip(second))
    world.sum_again(second)
    by_hand = subprocess.run(
        ["sha256sum", "-c", f"{second.file}.sha256"], cwd=world.root, check=False
    )
    assert by_hand.returncode == 0
    said = refused(world, second, BadInput)
    assert f"is another backup under this name: it was made as {world.zip(first).name}" in said
    assert [b.verified for b in world.archive.backups()] == [False, True]
    assert world.verify(first) == first


def test_a_checksum_file_that_came_from_another_backup_is_refused(world):
    """With the right hash in it: somebody mixed them up."""
    first, second = world.create(), world.create()
    line = f"{second.sha256}  {first.file}\n"
    world.sums(second).write_text(line)
    assert f"has a checksum file that is for '{first.file}'" in refused(world, second)


@pytest.mark.parametrize("written", ["{name}", "./backups/{name}", "/mnt/old/{name}"])
def test_a_checksum_that_was_written_by_hand_is_good_enough(world, written):
    """From inside the folder, from the root, from elsewhere."""
    backup = world.create()
    name = written.format(name=world.zip(backup).name)
    world.sums(backup).write_text(f"{backup.sha256} *{name}\n")
    assert world.verify(backup) == backup


def test_a_backup_of_another_environment_or_service_is_refused(world):
    """By what is inside; the name may lie."""
    mine = world.create()
    other = world.archive.create(replace(REQUEST, environment="staging"), world.database, Told())
    assert "is a backup of staging, not production" in refused(world, other, BadInput)
    for word in ("environment", "service"):
        backup = world.create()
        world.rewrite(backup, lambda said, _, word=word: said.update({word: "shop"}))
        assert "is a backup of" in refused(world, backup, BadInput)
    assert [b.file for b in world.archive.backups() if b.verified][-1] == mine.file


def test_what_a_newer_tool_wrote_is_refused_with_what_to_do(world):
    """Whatever else it has that we do not know."""
    backup = world.create()

    def newer(said, members):
        said["format"] += 1
        said["database"] = ["something else"]

    world.rewrite(backup, newer)
    said = refused(world, backup, BadInput)
    assert "has format 4; this tool reads up to 3" in said
    assert "update guarded-rollout" in said


def older(said, members):
    """Format 1 had no schema in words, no tools' versions."""
    said["format"] = 1
    for word in ("sha256", "shape", "tools"):
        del said["database"][word]


def old(said, members):
    """Format 2 had hashes of what the server held."""
    said["format"] = 2
    del said["database"]["sha256"]
    said["database"]["hashes"] = dict.fromkeys(ROWS, "0" * 32)


@pytest.mark.parametrize("change", [older, old])
def test_what_an_older_tool_wrote_can_be_read_and_drilled(world, change):
    """What it lacks is not asked for; contents are compared with the dump itself."""
    backup = world.create()
    world.rewrite(backup, change)
    found = world.verify(backup)
    assert found.rows == ROWS
    assert (found.shape == "") == (change is older)
    drilled = world.drill(backup)
    assert (drilled.hashed, drilled.rows) == (True, 60)
    spoilt = world.spoiling("UPDATE images SET hash = 'x' WHERE id = 7")
    with pytest.raises(Broken, match="table images has 40 rows, but other contents"):
        spoilt.drill(backup)
    world.dump_again(backup, ("DELETE FROM reviews",), counted=True, whole=False)
    world.rewrite(backup, lambda said, _: said["database"]["rows"].update(reviews=20))
    assert "reviews" in refused(world, backup)


def other_rows(said, members):
    said["database"]["rows"]["images"] = 39


def no_manifest(said, members):
    del members["MANIFEST.json"]


def no_dump(said, members):
    for name in [name for name in members if name.startswith("database/")]:
        del members[name]


def stranger(said, members):
    members["stranger"] = b"x"


def other_kind(said, members):
    said["database"]["url"] = "mysql://host/name"


def changed_member(said, members):
    members["config/it.conf"] = b"PORT=9999\n"


def not_a_manifest(said, members):
    said.pop("members")


def nothing_dumped(said, members):
    said["database"].update(member="config/it.conf", sha256="")


def dump_elsewhere(said, members):
    said["database"].update(member="config/", sha256="")


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (other_rows, Broken, "images: 39 written down, 40 found"),
        (no_manifest, BadInput, r"holds no MANIFEST\.json"),
        (no_dump, Broken, "disagree about database/"),
        (stranger, Broken, "disagree about stranger"),
        (other_kind, BadInput, "holds a dump of mysql, production uses"),
        (changed_member, Broken, r"it\.conf in .* is not what"),
        (not_a_manifest, Broken, r"unreadable MANIFEST\.json"),
        (nothing_dumped, Broken, "the dump in .* is not a "),
        (dump_elsewhere, Broken, "the dump in .* (is not a |cannot be read)"),
    ],
)
def test_a_backup_that_contradicts_itself_is_refused(world, change, kind, words):
    """Even with a fitting checksum."""
    backup = world.create()
    world.rewrite(backup, change)
    assert re.search(words, refused(world, backup, kind))


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "A" * 64 + "  x\n", "0" * 63 + "  x\n", "\xff", "0" * 64 + "  x\nmore\n"],
)
def test_a_checksum_file_that_is_none_is_refused(world, line):
    """It is named."""
    backup = world.create()
    world.sums(backup).write_bytes(line.encode("latin-1"))
    with pytest.raises(Broken, match=re.escape(f"{world.sums(backup).name} is not")):
        world.verify(backup)
    assert not world.archive.backups()[0].verified


def test_refusing_leaves_nothing_behind(world):
    """No scratch copies, whatever was wrong."""
    backup = world.create()
    world.rewrite(backup, other_rows)
    before = world.listing()
    refused(world, backup)
    assert world.listing() == before
    assert hashlib.sha256(world.zip(backup).read_bytes()).hexdigest() in (
        world.sums(backup).read_text()
    )
