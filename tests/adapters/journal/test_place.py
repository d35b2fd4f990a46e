"""Where a journal may lie: on a disk of this machine."""

from pathlib import Path

import pytest

from guarded_rollout.adapters.journal import place
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.problems import NotPossible

MOUNTS = (
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
    "40 27 0:40 / /mnt/nfs rw shared:1 master:2 - nfs4 server:/share rw\n"
    "41 40 254:1 / /mnt/nfs/local rw - xfs /dev/vdb rw\n"
    "42 27 0:42 / /mnt/with\\040space rw - cifs //server/share rw\n"
    "43 27 0:43 / /mnt/over rw - ext4 /dev/vdc rw\n"
    "44 43 0:44 / /mnt/over rw - fuse.sshfs host:/ rw\n"
    "a broken line\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/rollout", "ext4"),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/a/b", "nfs4"),
        ("/mnt/nfs/local/a", "xfs"),
        ("/mnt/nfsx", "ext4"),
        ("/mnt/with space/a", "cifs"),
        ("/mnt/over/a", "fuse.sshfs"),
    ],
)
def test_the_deepest_and_latest_mount_counts(path, kind):
    """As the kernel sees it."""
    assert place.filesystem(MOUNTS, Path(path)) == kind


def test_a_link_leads_where_it_leads(tmp_path):
    """The real place decides."""
    (tmp_path / "link").symlink_to("/mnt/nfs/a")
    assert place.filesystem(MOUNTS, tmp_path / "link" / "journal.db") == "nfs4"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_network_filesystem_is_refused(tmp_path, clock, monkeypatch, kind):
    """Before anything is created on it."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:1 / {tmp_path} rw - {kind} x rw\n"
    )
    monkeypatch.setattr(place, "MOUNTS", mounts)
    with pytest.raises(NotPossible) as caught:
        SqliteJournal(tmp_path / "a" / "journal.db", clock, tmp_path / "locks")
    assert f"network filesystem ({kind})" in caught.value.why.what
    assert "disk of this machine" in caught.value.why.hint
    assert [p.name for p in tmp_path.iterdir()] == ["mountinfo"]


def test_this_machine_is_asked(tmp_path):
    """The real mount table names a real type."""
    assert place.filesystem(place.MOUNTS.read_text(), tmp_path) not in {"", "proc", "sysfs"}
