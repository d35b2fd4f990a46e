"""Commands on a leash: nothing they started outlives them, or us."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from guarded_rollout.adapters.processes import leash
from guarded_rollout.core.problems import Broken, Interrupted

ENV = {"PATH": os.environ["PATH"]}


class Stop:
    """A control that says stop as soon as `when()` is true."""

    def __init__(self, when=lambda: False):
        self.stopped = when

    def say(self, text):
        raise AssertionError(text)


@pytest.fixture
def run(folder, clock):
    def run(script, *, control=None, timeout=60.0, **more):
        return leash.run(
            ("sh", "-c", script),
            env=ENV,
            cwd=folder,
            control=control or Stop(),
            clock=clock,
            timeout=timeout,
            **more,
        )

    return run


def filled(file):
    return lambda: file.exists() and file.read_text().endswith("\n")


def test_its_code_and_its_output_come_back(run, folder):
    """Standard output and error, in the order they were written."""
    done = run("echo one; echo two >&2; pwd; exit 3")
    assert (done.code, done.output) == (3, f"one\ntwo\n{folder}\n")


def test_a_signal_is_a_negative_code(run):
    """As subprocess does it."""
    assert run("kill -9 $$").code == -signal.SIGKILL


def test_it_gets_our_environment_and_no_input(run):
    """Nothing of the shell we run in leaks; a command that asks a question gets an end of file."""
    done = run("cat; echo ${HOME-unset}")
    assert done.output == "unset\n"


def test_only_the_end_of_a_long_output_is_kept_and_the_log_has_all_of_it(run, folder):
    """Bounded in memory, whole on disk."""
    log = folder / "logs" / "x.log"
    done = run("seq 1 100000; echo ünd Ende", log=log)
    assert len(done.output) == leash.TAIL
    assert done.output.endswith("100000\nünd Ende\n")
    assert log.read_text().splitlines()[0] == "1"
    assert len(log.read_text().splitlines()) == 100001
    assert log.stat().st_mode & 0o077 == 0


def test_bytes_that_are_no_text_do_not_hurt(run):
    """Replaced, not refused."""
    assert run(r"printf 'a\377b'").output == "a\ufffdb"


def test_a_program_that_is_not_there_is_named(folder, clock):
    """With what to check."""
    with pytest.raises(Broken, match=r"/no/such cannot be started: No such file") as broken:
        leash.run(("/no/such",), env=ENV, cwd=folder, control=Stop(), clock=clock, timeout=5.0)
    assert broken.value.why.hint


def test_a_folder_that_is_not_there_is_named(folder, clock):
    """Before anything runs."""
    with pytest.raises(Broken, match=r"true cannot be started in .*/nowhere"):
        leash.run(
            ("true",), env=ENV, cwd=folder / "nowhere", control=Stop(), clock=clock, timeout=5.0
        )


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(run, folder, runs):
    """The time limit names itself."""
    with pytest.raises(Broken, match=r"sh did not end within 0.5 s"):
        run(f"sleep 1000 & echo $! > {folder}/child; wait", timeout=0.5)
    assert not runs(int((folder / "child").read_text()))


def test_when_told_to_stop_the_command_may_tidy_up(run, folder):
    """SIGTERM, then Interrupted."""
    up = folder / "up"
    with pytest.raises(Interrupted, match="sh was ended before it was done"):
        run(
            f"trap 'touch {folder}/tidy; exit' TERM; touch {up}; while :; do wait; done",
            control=Stop(up.exists),
        )
    assert (folder / "tidy").exists()


def test_a_command_that_does_not_listen_is_killed(run, folder, monkeypatch):
    """After its grace."""
    monkeypatch.setattr(leash, "TERM_SECONDS", 0.2)
    up = folder / "up"
    with pytest.raises(Interrupted):
        run(f"trap '' TERM; touch {up}; sleep 1000", control=Stop(up.exists))


def test_background_processes_end_with_the_command(run, folder, runs):
    """Even those that left its group and its session."""
    done = run(
        f"sleep 1000 & echo $! >> {folder}/pids;"
        f"setsid sh -c 'echo $$ >> {folder}/pids; exec sleep 1000' &"
        f"while [ $(wc -l < {folder}/pids) -lt 2 ]; do sleep 0.02; done"
    )
    assert done.code == 0
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(runs, pids))


CONTROLLER = """
import sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes import leash
class Never:
    def stopped(self): return False
    def say(self, text): pass
held = open(sys.argv[1] + "/lock", "w")
import fcntl; fcntl.flock(held, fcntl.LOCK_EX)
leash.run(("sh", "-c", sys.argv[2]), env={"PATH": sys.argv[3]}, cwd=Path(sys.argv[1]),
          control=Never(), clock=SystemClock(), timeout=1000.0, pass_fds=(held.fileno(),))
"""


def test_killing_the_controller_ends_the_command_and_its_grandchildren(folder, eventually, runs):
    """kill -9 in mid-command: no orphan runs on, and the lock is free only after that."""
    script = f"trap '' TERM HUP;sh -c 'sleep 1000 & echo $! $$ > {folder}/pids; wait'"
    with subprocess.Popen(
        (sys.executable, "-c", CONTROLLER, folder, script, ENV["PATH"]), start_new_session=True
    ) as controller:
        eventually(filled(folder / "pids"))
        pids = [int(word) for word in (folder / "pids").read_text().split()]
        assert all(map(runs, pids))
        controller.kill()
    with (folder / "lock").open("w") as lock:
        eventually(lambda: _free(lock))
    eventually(lambda: not any(map(runs, pids)))


def _free(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_ctrl_c_ends_the_command_too(run, folder, runs):
    """The exception goes on, the command does not."""
    up = folder / "up"

    def interrupt():
        if filled(up)():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(f"echo $$ > {up}; exec sleep 1000", control=Stop(interrupt))
    assert not runs(int(up.read_text()))


def test_a_guard_that_is_killed_takes_the_command_with_it(run, folder, runs, eventually):
    """The machine ran out of memory and chose the guard: say so, leave nothing."""
    file = folder / "pids"

    def kill_the_guard():
        if filled(file)():
            guard = int(file.read_text().split()[1])
            os.kill(guard, signal.SIGKILL)
            file.rename(folder / "seen")
        return False

    with pytest.raises(Broken, match=r"the guard of sh ended with code -9"):
        run(f"echo $$ $PPID > {file}; exec sleep 1000", control=Stop(kill_the_guard))
    command = int((folder / "seen").read_text().split()[0])
    eventually(lambda: not runs(command))


def test_a_full_disk_ends_the_command_and_names_the_log(run):
    """No output is dropped without a word."""
    with pytest.raises(Broken, match=r"/dev/full cannot be written: No space left"):
        run("echo x; sleep 1000", log=Path("/dev/full"))


def test_commands_in_several_threads_do_not_hold_each_other(run, folder, eventually):
    """One guard's pipe must not leak into another's: each ends by itself."""
    ended = []
    slow = threading.Thread(
        target=lambda: ended.append(run(f"while ! test -e {folder}/go; do sleep 0.02; done"))
    )
    slow.start()
    assert [run("true").code for _ in range(5)] == [0] * 5
    assert not ended
    (folder / "go").touch()
    slow.join(60)
    assert [done.code for done in ended] == [0]
