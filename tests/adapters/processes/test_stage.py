"""Trials as processes: what the contract of the Stage port leaves open."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from guarded_rollout.adapters.processes import keeper, leash, stage
from guarded_rollout.adapters.processes.stage import ProcessStage
from guarded_rollout.core.problems import BadInput, Broken
from tests.adapters.processes.world import CLOCK, ProcessWorld, processes_of, until


@pytest.fixture
def world():
    made = ProcessWorld()
    yield made
    made.close()


@pytest.fixture
def ours(world):
    return ProcessStage(world.folder / "tries", world.folder / "run", CLOCK)


def said(trial):
    """What it printed, once it has ended."""
    until(trial.ended)
    return trial.log().read_text()


def logs(world):
    return sorted((world.folder / "tries").glob("*.log"))


TELL = 'env | sort; umask; pwd; ls -l /proc/self/fd/0; echo "{python} {folder} {replica} {socket}"'


def test_a_trial_gets_exactly_what_a_replica_gets(world, ours):
    """Placeholders, environment, working folder, umask, input; only the socket is another one."""
    env = (("WHERE", "at {socket} in {folder}"), ("DATABASE_PASSWORD", "secret"))
    launch = world.launch("1.0.0", 1, argv=("sh", "-c", f"{TELL}; sleep 1000"), env=env)
    (replica,) = world.target.start(launch)
    until(lambda: replica.log.read_text().endswith(f" {replica.socket}\n"))
    tried = world.launch("1.0.0", 1, argv=("sh", "-c", TELL), env=env)
    with ours.try_out(tried) as trial:
        found = said(trial)
    expected = [
        line.replace(str(replica.socket), str(trial.socket()))
        for line in replica.log.read_text().splitlines()
        if not line.startswith(f"{keeper.MARK}=")
    ]
    assert _comparable(found.splitlines()) == _comparable(expected)
    assert "DATABASE_PASSWORD=secret" in found
    assert "\n0077\n" in found
    assert "HOME=" not in found


def _comparable(lines):
    """Without what the kernel or the shell makes up anew for each process."""
    return [line.split(" -> ")[-1] for line in lines if not line.startswith("SHLVL=")]


def test_the_target_does_not_know_of_trials(world, ours):
    """Other names for sockets; nothing to adopt, nothing to stop."""
    launch = world.launch("1.0.0", 1)
    (replica,) = world.target.start(launch)
    with ours.try_out(launch) as trial:
        assert trial.socket().parent == replica.socket.parent
        assert trial.socket() != replica.socket
        assert len(trial.socket().name) <= len(replica.socket.name)
        (still,) = world.target.replicas(launch.built.release)
        assert still.pid == replica.pid
        world.target.stop(launch.built.release, 10)
        assert trial.ended() is None
        assert world.target.started("toy") == ()


def test_the_log_is_for_our_eyes_only(world, ours):
    """A traceback may show what came from a user."""
    with ours.try_out(world.launch("1.0.0")) as trial:
        assert trial.log().stat().st_mode & 0o777 == 0o600
        assert (world.folder / "tries").stat().st_mode & 0o777 == 0o700
        until(trial.socket().exists)
        assert trial.socket().stat().st_mode & 0o077 == 0


def test_a_trial_that_listens_to_sigterm_ends_by_itself(world, ours):
    """It says bye and removes its socket."""
    with ours.try_out(world.launch("1.0.0")) as trial:
        until(trial.socket().exists)
    assert trial.ended() == "exit 0"
    assert trial.log().read_text().endswith("bye\n")


def test_a_trial_that_does_not_listen_is_killed_with_all_it_started(world, ours, monkeypatch, runs):
    """Also what left its group and its session."""
    monkeypatch.setattr(leash, "TERM_SECONDS", 0.2)
    script = (
        "trap '' TERM; sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & "
        "echo $$; while :; do wait; done"
    )
    with ours.try_out(world.launch("1.0.0", argv=("sh", "-c", script))) as trial:
        until(lambda: len(trial.log().read_text().split()) == 3)
        pids = [int(word) for word in trial.log().read_text().split()]
        assert all(map(runs, pids))
    assert trial.ended() == "signal 9"
    assert not any(map(runs, pids))


def test_a_program_that_is_not_there_has_ended_and_says_why(world, ours):
    """Like any other release that does not come up."""
    with ours.try_out(world.launch("1.0.0", argv=("/no/such",))) as trial:
        assert until(trial.ended) == "cannot be started: No such file or directory"


def test_a_release_that_is_not_there_is_named(world, ours):
    """Nothing was started; the log that was begun is no running trial's."""
    launch = world.launch("1.0.0")
    folder = launch.built.folder
    folder.rename(folder.with_name("elsewhere"))
    with (
        pytest.raises(Broken, match=r"python cannot be started in .*releases/1\.0\.0"),
        ours.try_out(launch),
    ):
        raise AssertionError("it is not there")
    assert not list((world.folder / "run").iterdir())


def test_a_guard_that_is_killed_takes_the_trial_with_it(world, ours, runs):
    """And it is told."""
    script = "echo $$ $PPID; exec sleep 1000"
    with ours.try_out(world.launch("1.0.0", argv=("sh", "-c", script))) as trial:
        until(lambda: trial.log().read_text().endswith("\n"))
        pid, guard = map(int, trial.log().read_text().split())
        os.kill(guard, signal.SIGKILL)
        assert until(trial.ended) == "ended with its guard, which ended with code -9"
        until(lambda: not runs(pid))


STARTER = """
import sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes.stage import ProcessStage
from guarded_rollout.core.spec import Release
from guarded_rollout.ports import Built, Launch
folder, script = Path(sys.argv[1]), sys.argv[2]
stage = ProcessStage(folder / "tries", folder / "run", SystemClock())
launch = Launch(Built(Release("toy", "1.0.0", "c" * 64), folder, None), ("sh", "-c", script), (), 1)
with stage.try_out(launch) as trial:
    print(trial.log(), trial.socket(), flush=True)
    sys.stdin.read()
"""


def started(world, script):
    """A controller of its own with a trial inside: the process, the trial's log and socket."""
    process = subprocess.Popen(
        (sys.executable, "-c", STARTER, world.folder, script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    words = process.stdout.readline().split()
    return process, *map(type(world.folder), words)


def test_kill_9_of_whoever_started_it_ends_it_with_its_children(world, ours, runs):
    """No trial runs on against a database that its rehearsal has dropped."""
    script = "trap '' TERM HUP; sh -c 'sleep 1000 & echo $! $$ > pids; wait'"
    process, log, _socket = started(world, script)
    with process:
        file = world.folder / "pids"
        until(lambda: file.exists() and file.read_text().endswith("\n"))
        pids = [int(word) for word in file.read_text().split()]
        assert all(map(runs, pids))
        process.kill()
    until(lambda: not any(map(runs, pids)))
    until(lambda: not stage._locked(log))


def test_what_a_killed_starter_left_is_swept_by_the_next_trial(world, ours):
    """Its socket; not that of a trial that still runs, nor a replica's, nor a stranger's."""
    serve = (
        f"exec {sys.executable} -c 'import socket,sys,time; s=socket.socket(socket.AF_UNIX);"
        "s.bind(sys.argv[1]); s.listen(); time.sleep(1000)' {socket}"
    )
    dead, log, left = started(world, serve)
    alive, _, kept = started(world, serve)
    with dead, alive:
        until(left.exists)
        until(kept.exists)
        dead.kill()
        until(lambda: not stage._locked(log))
        assert left.exists()
        replicas, stranger = world.folder / "run" / "cccccccc-0.sock", world.folder / "run" / "x"
        for path in (replicas, stranger):
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(path))
        with ours.try_out(world.launch("2.0.0")) as trial:
            there = set((world.folder / "run").iterdir()) - {trial.socket()}
            assert there == {kept, replicas, stranger}
        assert log.exists()
        alive.stdin.close()
    assert alive.returncode == 0
    assert not kept.exists()


def test_ten_old_logs_are_kept_and_those_of_running_trials(world, ours):
    """The oldest go first; the one that runs is the oldest of all and stays."""
    launch = world.launch("1.0.0", argv=("sh", "-c", "exec sleep 1000"))
    short = world.launch("2.0.0", argv=("true",))
    with ours.try_out(launch) as running:
        made = []
        for age in range(15):
            with ours.try_out(short) as trial:
                made.append(trial.log())
            os.utime(trial.log(), (1_000_000_000 + age, 1_000_000_000 + age))
        os.utime(running.log(), (1, 1))
        with ours.try_out(short) as trial:
            assert logs(world) == sorted([running.log(), *made[-10:], trial.log()])


def test_a_socket_that_is_too_long_is_refused_before_anything_starts(world):
    """With the limit and what to do."""
    deep = ProcessStage(world.folder / "tries", world.folder / ("x" * 100), CLOCK)
    with (
        pytest.raises(BadInput, match=r"too long for this system \(107 bytes\)") as refused,
        deep.try_out(world.launch("1.0.0")),
    ):
        raise AssertionError("it cannot be")
    assert "shorter run folder" in refused.value.why.hint
    assert not (world.folder / "tries").exists()


def test_a_log_folder_that_cannot_be_written_is_a_problem_with_a_hint(world, ours):
    """No traceback."""
    (world.folder / "tries").write_text("a file")
    with (
        pytest.raises(Broken, match=r"tries.* cannot be used"),
        ours.try_out(world.launch("1.0.0")),
    ):
        raise AssertionError("it cannot be")


def test_only_the_trials_own_process_has_its_socket(world, ours):
    """One process, not its guard, and not us."""
    with ours.try_out(world.launch("1.0.0", 3)) as trial:
        until(trial.socket().exists)
        (pid,) = processes_of(trial.socket())
        assert keeper.Process(pid).group == pid
        assert pid != os.getpid()
