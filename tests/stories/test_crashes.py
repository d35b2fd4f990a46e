"""kill -9 of the guard in each kind of step, twice over: known ending, nothing half done."""

import contextlib
import os
import signal
import sqlite3

import pytest
from bad_releases import make
from load import Load, read_access_log
from site_of_ours import Site, began, driven, since_start

pytestmark = pytest.mark.slow

OLD = "1.0.0"


@pytest.fixture(scope="module")
def newer_schema(tmp_path_factory):
    """A good release with a migration of its own."""
    folder = make("good", tmp_path_factory.mktemp("newer") / "source", version="1.0.2")
    migration = folder / "src/dhash/migrations/versions/0003_notes.py"
    migration.write_text(
        '"""Notes on reviews."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        'revision = "0003"\ndown_revision = "0002"\n\n\n'
        "def upgrade() -> None:\n"
        '    op.add_column("reviews", sa.Column("note", sa.Text))\n\n\n'
        "def downgrade() -> None:\n"
        '    op.drop_column("reviews", "note")\n'
    )
    return folder


def kill_guard(site):
    """kill -9 of whoever holds the lease, once somebody lives who does; nothing when it is over."""
    site.until(lambda: living_guard(site) or not under_way(site))
    pid = living_guard(site)
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL)
    site.until(lambda: pid not in site.processes())


def asked(site, question):
    file = site.root / ".rollout" / "journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as db:
        return db.execute(question).fetchone()


def living_guard(site):
    """The lease may still be a dead one's."""
    (pid,) = asked(site, "SELECT pid FROM leases WHERE environment = 'production'")
    return pid if f"guard --root {site.root}" in site.processes().get(pid, "") else None


def under_way(site):
    return asked(site, "SELECT 1 FROM rollouts WHERE ended IS NULL") is not None


def attempts(facts, step):
    return sum(k == "step-began" and b["step"] == step for k, b in since_start(facts))


def starts(facts):
    return [body for kind, body in facts if kind == "started"]


def watching(facts):
    return any(kind == "observed" for kind, _ in since_start(facts))


def kill_twice(site, source, reached, again):
    """Deploy in the background, kill the guard when `reached`, resume, kill it again, resume."""
    done = site.rollout("deploy", "--env", "production", "--source", source, "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(reached)
    kill_guard(site)
    done = site.rollout("resume", "--env", "production", "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(again)
    kill_guard(site)
    return site.rollout("resume", "--env", "production", "--json")


@pytest.mark.parametrize("step", ["backup", "rehearse", "migrate", "shift", "watch", "retire"])
def test_a_good_release_is_promoted_though_its_guard_is_killed_twice(step, newer_schema):
    """At the step, and again at its second attempt; users notice nothing."""
    with Site(watch="12s", gates=None) as site:
        promote_first(site)
        before = site.access_log.stat().st_size

        def second(facts):
            if step == "watch":
                return sum(kind == "adopted" for kind, _ in since_start(facts)) == 1 and (
                    driven(facts)[-1][0] == "observed"
                )
            return attempts(facts, step) >= 2 or began("retire", "step-done")(facts)

        with Load(site.port, threads=2, pause=0.01) as load:
            first = watching if step == "watch" else began(step)
            done = kill_twice(site, newer_schema, first, second)
            tally = load.stop()
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.serving() == "1.0.2"
        assert tally.failed == 0, (tally.statuses, tally.broken[:3])
        assert not read_access_log(site.access_log, before).not_own
        nothing_half_done(site, "1.0.2")


def test_a_bad_release_goes_back_though_its_guard_is_killed_twice_on_the_way(releases):
    """Killed at the return of the traffic and again while it stops the candidate."""
    with Site(watch="30s") as site:
        promote_first(site)
        with Load(site.port, threads=2, pause=0.01) as load:
            done = kill_twice(site, releases("failing"), began("return"), began("stop-candidate"))
            tally = load.stop()
        assert done.returncode == 2, done.stdout + done.stderr
        assert site.serving() == OLD
        assert not tally.broken
        nothing_half_done(site, OLD)


@pytest.mark.parametrize("step", ["close", "set-aside", "restore", "return"])
def test_a_restore_ends_though_its_guard_is_killed_twice(step, newer_schema):
    """The old release on the old schema, with the backup's rows; what was since is in the file."""
    with Site(watch="6s", gates=None) as site:
        promote_first(site)
        with Load(site.port, threads=2, pause=0.01, posts_every=1):
            done = site.rollout("deploy", "--env", "production", "--source", newer_schema)
        assert done.returncode == 0, done.stdout + done.stderr
        again = ("--force", "--restore-data", "--detach", "--reason", "rows are damaged")
        done = site.rollout("rollback", "--env", "production", *again)
        assert done.returncode == 0, done.stderr
        site.wait_for(began(step))
        kill_guard(site)
        done = site.rollout("resume", "--env", "production", "--detach")
        assert done.returncode == 0, done.stderr
        site.wait_for(lambda facts: attempts(facts, step) >= 2 or began(step, "step-done")(facts))
        kill_guard(site)
        done = site.rollout("resume", "--env", "production", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.serving() == OLD
        nothing_half_done(site, OLD)
        assert list((site.root / "backups").glob("set-aside_*.jsonl"))


def nothing_half_done(site, version):
    """One release runs, every replica of it; the chain holds; no backup is half written."""
    status = site.status()
    assert status["active"] is None
    assert {r["release"].split("-")[0] for r in status["replicas"]} == {version}
    assert all(r["alive"] for r in status["replicas"])
    assert site.rollout("audit", "verify").returncode == 0
    assert not list((site.root / "data").rglob("*rehearse*")), "a scratch database is left"
    assert not [p for p in site.processes().values() if "trials" in p], "a trial still runs"
    zips = sorted((site.root / "backups").glob("dhash_*.zip"))
    for file in zips:
        done = site.rollout("backup", "verify", "--env", "production", file)
        assert done.returncode == 0, done.stderr


def promote_first(site):
    """1.0.0 serves, taken by hand: nobody uses it yet."""
    done = site.rollout("deploy", "--env", "production", "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(watching)
    done = site.rollout("promote", "--env", "production", "--reason", "first")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guard_outlives_the_terminal(releases):
    """kill -9 of the command line's whole session does not stop the watch."""
    with Site(watch="8s") as site:
        promote_first(site)
        with Load(site.port, threads=2, pause=0.01):
            source = str(releases("good"))
            shell = site.start("deploy", "--env", "production", "--source", source)
            site.wait_for(lambda facts: len(starts(facts)) == 2 and watching(facts))
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()
            active = site.status()["active"]
            assert active["phase"] == "watching"
            done = site.rollout("watch", "--env", "production")
        assert done.returncode == 0, done.stdout
        assert "promoted" in done.stdout
        assert "resumed by" not in done.stdout, "it was the first guard all along"
        assert site.serving() == "1.0.1"
