"""Whoever stops looking leaves the rollout to its guard; whoever looks brings a dead one back."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from site_of_ours import ENVIRONMENT, Site, began, since_start

from guarded_rollout.cli.asking import ask
from guarded_rollout.cli.wiring import Places, open_journal
from guarded_rollout.core.facts import RollbackAsked

pytestmark = pytest.mark.slow

SELF_KILLED = """
import os, signal, sys
from guarded_rollout.cli import guard
guard.spawn = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from guarded_rollout.cli.app import main
main(sys.argv[1:])
"""
"""A command that is killed when the rollout is begun and its guard is not."""


@pytest.fixture(scope="module")
def site():
    """1.0.0 serves production; a watch takes ten minutes, so that nothing ends by itself."""
    with Site(watch="600s") as ours:
        done = ours.rollout("deploy", "--env", ENVIRONMENT, "--detach")
        assert done.returncode == 0, done.stderr
        ours.wait_for(watching)
        done = ours.rollout("promote", "--env", ENVIRONMENT, "--reason", "first")
        assert done.returncode == 0, done.stderr
        yield ours


@pytest.fixture
def live(site, releases):
    """A deploy of 1.0.1 that is watched; the last test's, if it left one."""
    active = site.rollout_active()
    if active is not None:
        return active["rollout"]
    source = releases("good")
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--source", source, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    site.wait_for(watching)
    return json.loads(done.stdout)["rollout"]


@pytest.fixture
def idle(site):
    """1.0.0 serves and nothing is active."""
    if site.rollout_active() is not None:
        go_back(site)


@pytest.fixture
def promoted(site, live):
    """1.0.1 serves and nothing is active."""
    done = site.rollout("promote", "--env", ENVIRONMENT, "--reason", "to take it back")
    assert done.returncode == 0, done.stdout
    assert site.serving() == "1.0.1"


def watching(facts):
    return any(kind == "observed" for kind, _ in since_start(facts))


def go_back(site, *more):
    done = site.rollout("rollback", "--env", ENVIRONMENT, "--reason", "the test is over", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.serving() == "1.0.0"
    assert site.rollout_active() is None
    return done


def follow(site, *words):
    """A command in the background whose output is read when it has begun to follow."""
    return subprocess.Popen(
        site.command(*words, "--env", ENVIRONMENT),
        env=site.env,
        cwd=site.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_guard(site):
    """kill -9, and wait until it is gone."""
    pid = site.guard_pid()
    os.kill(pid, signal.SIGKILL)
    site.wait_for(lambda _: pid not in site.processes())
    return pid


def no_traceback(site):
    log = site.state / "logs" / "guard.log"
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_ctrl_c_leaves_the_rollout_to_its_guard(site, live, as_json):
    """Exit code 130; the same guard goes on; the screen says how to look and how to undo."""
    guard = site.guard_pid()
    process = follow(site, "watch", *(["--json"] if as_json else []))
    stream = process.stderr if as_json else process.stdout
    assert "started by" in stream.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"detached: the guard of {live} goes on" in err
    assert f"undo it: rollout rollback --env {ENVIRONMENT} --reason WHY" in err
    assert "Traceback" not in out + err
    if as_json:
        assert json.loads(out) == {"rollout": live, "phase": "running", "exit_code": 130}
    assert site.guard_pid() == guard
    assert guard in site.processes()


def test_a_closed_pipe_leaves_the_rollout_to_its_guard(site, live):
    """`rollout watch | head -1`: neither 0, which is done, nor 1, which is nothing changed."""
    guard = site.guard_pid()
    process = follow(site, "watch")
    assert "started by" in process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert f"detached: the guard of {live} goes on" in err
    assert "Traceback" not in err
    assert site.guard_pid() == guard


def test_a_rollout_whose_command_was_killed_before_its_guard_began_is_picked_up(
    site, releases, idle
):
    """By the next look at the status; it is then watched as if nothing had happened."""
    words = ["deploy", "--env", ENVIRONMENT, "--root", site.root, "--source", releases("good")]
    done = subprocess.run(
        [sys.executable, "-c", SELF_KILLED, *map(str, words)],
        env=site.env,
        cwd=site.root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [kind for kind, _ in since_start(site.facts())] == ["started"]
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--dry-run")
    assert done.returncode == 1
    assert "is active in production since" in done.stderr
    assert [kind for kind, _ in since_start(site.facts())] == ["started"], (
        "a dry run starts nothing"
    )
    done = site.rollout("status", "--env", ENVIRONMENT)
    assert done.returncode == 0
    assert "guard     was gone and is back" in done.stdout
    site.wait_for(watching)
    assert site.guard_pid() is not None


def test_status_brings_a_killed_guard_back(site, live):
    """And says so; the journal has it."""
    first = kill_guard(site)
    assert site.status()["active"]["resumed"] is True
    site.wait_for(lambda facts: any(kind == "adopted" for kind, _ in since_start(facts)))
    assert site.guard_pid() != first
    assert site.status()["active"]["resumed"] is False
    assert site.status()["active"]["rollout"] == live
    no_traceback(site)


def test_whoever_follows_brings_a_killed_guard_back(site, live):
    """Nobody has to type anything."""
    process = follow(site, "watch")
    assert "started by" in process.stdout.readline()
    kill_guard(site)
    site.wait_for(lambda facts: any(kind == "adopted" for kind, _ in since_start(facts)))
    assert any("resumed by" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_guard_that_cannot_live_needs_a_person(site, live, monkeypatch, capsys):
    """After five times; exit code 3, and where its own words are."""
    from guarded_rollout.cli import guard
    from guarded_rollout.cli.app import main

    run = (site.state / "run").readlink()
    monkeypatch.setenv("XDG_RUNTIME_DIR", site.env["XDG_RUNTIME_DIR"])
    monkeypatch.setattr(guard, "DEAD_SECONDS", 0.2)
    run.chmod(0o755)  # a folder that others can enter is refused
    try:
        kill_guard(site)
        code = main(["watch", "--env", ENVIRONMENT, "--root", str(site.root)])
    finally:
        run.chmod(0o700)
    said = capsys.readouterr().err
    assert code == 3
    assert f"the guard of {live} died 5 times" in said
    assert f"rollout resume --env {ENVIRONMENT}" in said
    words = (site.state / "logs" / "guard.log").read_text()
    assert f"{run} is not a folder that only this user can enter" in words
    assert "Traceback" not in words
    assert site.serving() == "1.0.1"


def test_a_live_rollout_goes_back_though_the_configuration_broke_meanwhile(site, live):
    """By what was frozen when it was begun, even without its guard."""
    with broken(site, "rollout.toml", "quality-gates-config.json"):
        kill_guard(site)
        done = site.rollout("rollback", "--env", ENVIRONMENT, "--reason", "customers see errors")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rolled back: 1.0.0-" in done.stdout
    assert "customers see errors" in done.stdout
    assert "warning" not in done.stdout + done.stderr
    assert site.serving() == "1.0.0"
    assert site.rollout_active() is None


@contextlib.contextmanager
def broken(site, *names):
    """These files cannot be read for a while."""
    sound = {name: (site.root / name).read_text() for name in names}
    try:
        for name in names:
            (site.root / name).write_text("[{ neither TOML nor JSON")
        yield
    finally:
        for name, text in sound.items():
            (site.root / name).write_text(text)


def test_what_serves_goes_back_though_the_configuration_broke_since(site, promoted):
    """After the promotion, from the configuration of that deploy; the screen says so."""
    with broken(site, "rollout.toml"):
        status = site.rollout("status", "--env", ENVIRONMENT)
        done = site.rollout("rollback", "--env", ENVIRONMENT, "--reason", "errors", "--force")
    assert status.returncode == 0
    assert "serving   1.0.1-" in status.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: rollout.toml:1: is not valid TOML" in done.stdout
    assert "-> goes on with the configuration that production-" in done.stdout
    assert site.serving() == "1.0.0"


def test_a_rollback_does_not_wait_for_a_backup(site, promoted):
    """The backup is told to stop: it ends refused, with nothing of it left."""
    before = sorted(path.name for path in (site.root / "backups").iterdir())
    with large_data(site):
        backup = follow(site, "backup", "create")
        with frozen_backup(site):
            rollback = follow(site, "rollback", "--reason", "errors", "--force")
            line = "is asked to stop: a rollback goes first"
            assert any(line in said for said in iter(rollback.stdout.readline, ""))
        done, failed = rollback.communicate(timeout=120)
        out, err = backup.communicate(timeout=120)
    assert rollback.returncode == 0, done + failed
    assert backup.returncode == 1, out + err
    assert "refused, nothing was changed: asked by" in out
    assert "a rollback goes first: errors" in out
    assert sorted(path.name for path in (site.root / "backups").iterdir()) == before
    assert site.serving() == "1.0.0"


def test_a_deploy_waits_for_a_backup_and_says_so(site, releases, idle):
    """It begins when the backup has ended, without anybody's help."""
    with large_data(site):
        backup = follow(site, "backup", "create")
        with frozen_backup(site):
            deploy = follow(site, "deploy", "--source", str(releases("good")))
            assert any("waiting for" in line for line in iter(deploy.stdout.readline, ""))
            assert [kind for kind, _ in since_start(site.facts())] == ["started"]
            stop_backups(site)
        out, err = backup.communicate(timeout=120)
        assert "refused, nothing was changed: asked by" in out + err
        site.wait_for(began("preflight"))
        deploy.send_signal(signal.SIGINT)
        deploy.communicate(timeout=60)
    assert deploy.returncode == 130
    no_traceback(site)


def stop_backups(site):
    """What a rollback does with a backup at work, without the rollback."""
    journal = open_journal(Places(site.root))
    for known in journal.known(ENVIRONMENT):
        if known.ended is None and known.kind == "backup":
            ask(journal, known, RollbackAsked("a test", "enough"))


def is_backup(facts):
    """Deploys have a step of that name too."""
    return since_start(facts)[0][1]["plan"]["kind"] == "backup"


@contextlib.contextmanager
def frozen_backup(site):
    """A backup in its middle, for as long as the test wants: its guard is stopped, not ended."""
    site.wait_for(lambda facts: is_backup(facts) and began("backup")(facts))
    guard = open_journal(Places(site.root)).holder(ENVIRONMENT)
    os.kill(guard.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(guard.pid, signal.SIGCONT)


@contextlib.contextmanager
def large_data(site):
    """The backup takes seconds: it packs gigabytes of nothing, which take no disk."""
    path = site.root / "rollout.toml"
    sound = path.read_text()
    folder = site.root / "data" / "large"
    folder.mkdir()
    with (folder / "nothing").open("wb") as file:
        file.truncate(2**33)
    path.write_text(
        sound.replace(
            "[environments.production]\n", '[environments.production]\ndata_dirs = ["data/large"]\n'
        )
    )
    try:
        yield
    finally:
        path.write_text(sound)
        (folder / "nothing").unlink()
        folder.rmdir()


def test_the_way_back_of_the_same_release_does_not_stop_it(site, idle):
    """`deploy --again`, taken back: candidate and old version are the same processes."""
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--again", "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(watching)
    go_back(site)


def test_the_journal_of_all_this_is_whole(site, idle):
    """The hash chain holds, and no rollout is left without an ending."""
    assert site.rollout("audit", "verify").returncode == 0
    file = site.root / ".rollout" / "journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        assert db.execute("SELECT id FROM rollouts WHERE ended IS NULL").fetchall() == []
