"""Which backups may go."""

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.retention import DAY, Backup, expired

NOW = 1000 * DAY
BACKUPS = st.lists(
    st.builds(
        Backup,
        file=st.text(min_size=1, max_size=8),
        environment=st.sampled_from(["production", "staging"]),
        created=st.floats(0, NOW),
        size=st.just(1),
        sha256=st.just("0" * 64),
        verified=st.booleans(),
    ),
    unique_by=lambda backup: backup.file,
)


@given(BACKUPS, st.floats(0, 100))
def test_the_newest_verified_backup_and_other_environments_stay(backups, days):
    """Whatever the age."""
    gone = expired(backups, "production", NOW, days)
    assert all(backup.environment == "production" for backup in gone)
    verified = [b for b in backups if b.environment == "production" and b.verified]
    if verified:
        newest = max(verified, key=lambda b: b.created)
        assert newest not in gone
    else:
        assert gone == ()


@given(BACKUPS, st.floats(0, 100))
def test_only_old_ones_go(backups, days):
    """Nothing younger than the retention."""
    assert all(NOW - b.created > days * DAY for b in expired(backups, "production", NOW, days))
