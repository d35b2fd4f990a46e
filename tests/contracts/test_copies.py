"""What every adapter of ports.Place keeps. A new adapter adds itself to `shelves`."""

import hashlib
import os
from pathlib import Path

import pytest
from s3_server import BUCKET, ENVIRON, S3Server

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.copies import CheckedCopies
from guarded_rollout.core.problems import BadInput, Broken, Interrupted, Problem
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import CopyPlace
from guarded_rollout.testing.clock import FastClock
from guarded_rollout.testing.control import Told
from guarded_rollout.testing.data import FakeCopies
from guarded_rollout.testing.world import World


class Spot:
    """A place, and the test's own hands on what lies there."""

    def __init__(self, place, files: Path | None, world: World | None = None) -> None:
        self.place = place
        self.files = files
        self.world = world

    def damage(self, name: str, content: bytes) -> None:
        if self.files is not None:
            (self.files / name).write_bytes(content)
        else:
            assert self.world is not None
            (held,) = (h for h in self.world.copies.values() if name in h)
            held[name].content = content

    def content(self, name: str) -> bytes:
        if self.files is not None:
            return (self.files / name).read_bytes()
        assert self.world is not None
        (held,) = (h for h in self.world.copies.values() if name in h)
        return held[name].content or b""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root" / "backups").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture(params=["folder", "s3", "fake"])
def spot(request, root, tmp_path, monkeypatch):
    if request.param == "fake":
        world = World(FastClock(), root)
        return Spot(FakeCopies(world).at(CopyPlace("fake:there")), None, world)
    copies = CheckedCopies(root, "toy", SystemClock())
    if request.param == "folder":
        (tmp_path / "disk").mkdir()
        return Spot(copies.at(CopyPlace(f"folder:{tmp_path / 'disk'}")), tmp_path / "disk")
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    server = request.getfixturevalue("server")
    prefix = tmp_path.name.replace("[", "-").replace("]", "")
    place = copies.at(CopyPlace(f"s3://{BUCKET}/{prefix}", server.endpoint))
    return Spot(place, server.bucket / prefix)


def backup_of(root: Path, content: bytes, environment="production", second=0) -> Backup:
    name = f"toy_{environment}_20260131_1200{second:02d}.zip"
    (root / "backups" / name).write_bytes(content)
    return Backup(
        file=f"backups/{name}",
        environment=environment,
        created=1769860800.0 + second,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        verified=True,
    )


def name_of(backup: Backup) -> str:
    return Path(backup.file).name


@pytest.mark.parametrize("size", [0, 1, 1000, 20 << 20], ids=["0", "1", "1000", "20 MiB"])
def test_a_copy_is_what_the_backup_is(spot, root, size):
    """Also one that goes in parts."""
    backup = backup_of(root, os.urandom(size))
    sent = spot.place.put(backup, Told())
    assert (sent.name, sent.size, sent.sha256, sent.sent) == (
        name_of(backup),
        size,
        backup.sha256,
        True,
    )
    assert spot.content(sent.name) == (root / backup.file).read_bytes()
    read = spot.place.verify(sent.name, Told())
    assert (read.size, read.sha256) == (size, backup.sha256)


def test_what_is_there_already_is_not_sent_again(spot, root):
    """A step that is asked for twice after a crash."""
    backup = backup_of(root, b"x" * 5000)
    assert spot.place.put(backup, Told()).sent
    assert not spot.place.put(backup, Told()).sent


def test_a_damaged_copy_is_sent_again(spot, root):
    """Its size alone says nothing."""
    backup = backup_of(root, b"x" * 5000)
    spot.place.put(backup, Told())
    spot.damage(name_of(backup), b"y" * 5000)
    assert spot.place.put(backup, Told()).sent
    assert spot.place.verify(name_of(backup), Told()).sha256 == backup.sha256


@pytest.mark.parametrize("content", [b"", b"x" * 4999, b"x" * 4999 + b"y", b"x" * 5001])
def test_a_truncated_or_substituted_copy_is_found(spot, root, content):
    """By verify and by fetch, which leaves nothing behind."""
    backup = backup_of(root, b"x" * 5000)
    spot.place.put(backup, Told())
    spot.damage(name_of(backup), content)
    with pytest.raises(Broken, match="is not what was written"):
        spot.place.verify(name_of(backup), Told())
    with pytest.raises(Broken, match="is not what was written"):
        spot.place.fetch(name_of(backup), root / "back.zip", Told())
    assert sorted(path.name for path in root.iterdir()) == ["backups"]


def test_places_list_what_they_hold_newest_first(spot, root):
    """With environment and age, and nothing is called verified."""
    backups = [backup_of(root, b"1"), backup_of(root, b"22", "staging", 1)]
    backups.append(backup_of(root, b"333", second=2))
    for backup in backups:
        spot.place.put(backup, Told())
    held = spot.place.holds()
    assert [h.file for h in held] == [name_of(b) for b in reversed(backups)]
    assert [(h.environment, h.created, h.size, h.verified) for h in held] == [
        (b.environment, b.created, b.size, False) for b in reversed(backups)
    ]


def test_a_copy_comes_back_with_its_checksum(spot, root):
    """Where `sha256sum -c` accepts it, and an existing file is never replaced."""
    backup = backup_of(root, b"x" * 5000)
    spot.place.put(backup, Told())
    (root / backup.file).unlink()
    spot.place.fetch(name_of(backup), root / backup.file, Told())
    assert (root / backup.file).read_bytes() == b"x" * 5000
    line = (root / f"{backup.file}.sha256").read_text()
    assert line == f"{backup.sha256}  {backup.file}\n"
    with pytest.raises(BadInput, match="exists already"):
        spot.place.fetch(name_of(backup), root / backup.file, Told())


def test_a_removed_copy_is_gone(spot, root):
    """Twice is no error, others stay."""
    one, other = backup_of(root, b"1"), backup_of(root, b"2", second=1)
    spot.place.put(one, Told())
    spot.place.put(other, Told())
    spot.place.remove(name_of(one))
    spot.place.remove(name_of(one))
    assert [held.file for held in spot.place.holds()] == [name_of(other)]
    with pytest.raises(BadInput, match="no finished copy"):
        spot.place.verify(name_of(one), Told())


def test_a_backup_that_rotted_on_the_local_disk_is_not_copied(spot, root):
    """The checksum that was written down decides, not the file."""
    backup = backup_of(root, b"x" * (9 << 20))
    (root / backup.file).write_bytes(b"x" * ((9 << 20) - 1) + b"y")
    with pytest.raises(Broken, match="is not what was written any more"):
        spot.place.put(backup, Told())
    with pytest.raises(Problem):
        spot.place.verify(name_of(backup), Told())


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_copy_that_is_told_to_stop_stops_and_is_no_copy(spot, root, after):
    """And the next attempt succeeds."""
    backup = backup_of(root, os.urandom(20 << 20))
    if after and spot.world is not None:
        after = 0  # the fake asks once
    with pytest.raises(Interrupted):
        spot.place.put(backup, Told(after))
    with pytest.raises(BadInput, match="no finished copy"):
        spot.place.verify(name_of(backup), Told())
    assert spot.place.put(backup, Told()).sent


def test_what_is_no_backup_is_left_alone(spot, root):
    """Other files, other services."""
    backup = backup_of(root, b"1")
    spot.place.put(backup, Told())
    if spot.files is None:
        return
    for name in ("notes.txt", "other_production_20260131_120000.zip", "toy_x.zip"):
        (spot.files / name).write_bytes(b"1")
    assert [held.file for held in spot.place.holds()] == [name_of(backup)]
    for name in ("notes.txt", "../notes.txt", "other_production_20260131_120000.zip"):
        with pytest.raises(BadInput, match="is no name of a backup of toy"):
            spot.place.remove(name)
