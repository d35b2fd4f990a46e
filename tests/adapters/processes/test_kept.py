"""A kept process: it outlives its starter, comes back, and ends when it is told to."""

import json
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from guarded_rollout.adapters.processes import keeper
from guarded_rollout.adapters.processes import kept as keeping
from guarded_rollout.adapters.processes.kept import Kept
from guarded_rollout.core.problems import Broken, NotPossible

ENV = {"PATH": os.environ["PATH"]}
FOREVER = ("sleep", "1000")


def shell(script):
    return ("sh", "-c", script)


@pytest.fixture
def kept(folder, clock):
    one = Kept(folder / "one", clock)
    yield one
    one.stop(0)


def test_a_kept_process_runs_in_its_own_group_and_not_below_the_controller(kept):
    """The keeper is nobody's child here, so closing the terminal ends neither."""
    kept.start(FOREVER, ENV)
    status = kept.status()
    assert (status.alive, status.kept, status.restarts, status.last_exit) == (True, True, 0, None)
    child = keeper.Process(status.pid)
    assert child.group == status.pid
    assert os.getsid(status.pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(kept._keeper(), os.WNOHANG)


def test_starting_it_again_adopts_it(kept, folder, clock):
    """A second controller finds the same process."""
    kept.start(FOREVER, ENV)
    pid = kept.status().pid
    Kept(folder / "one", clock).start(FOREVER, ENV)
    assert kept.status().pid == pid


def test_other_settings_are_refused_by_name_and_no_secret_is_on_the_disk(kept, folder):
    """What differs is named; values of the environment are only digests."""
    kept.start(FOREVER, {**ENV, "DB_PASSWORD": "correct horse"})
    with pytest.raises(NotPossible, match=r": argv, env DB_PASSWORD, env MORE\n") as refused:
        kept.start(("sleep", "7"), {**ENV, "DB_PASSWORD": "other", "MORE": "1"})
    assert "stop it first" in refused.value.why.hint
    assert kept.status().alive
    on_disk = b"".join(file.read_bytes() for file in (folder / "one").iterdir())
    assert b"correct horse" not in on_disk
    assert {file.stat().st_mode & 0o077 for file in (folder / "one").iterdir()} == {0}


def test_a_dead_child_comes_back_and_its_end_is_told(kept, eventually):
    """Killed from outside: the keeper starts it again and counts."""
    kept.start(FOREVER, ENV)
    first = kept.status().pid
    os.kill(first, signal.SIGKILL)
    again = eventually(lambda: (s := kept.status()).alive and s.pid != first and s)
    assert (again.restarts, again.last_exit) == (1, "killed by SIGKILL")


def test_a_child_that_ends_by_itself_is_told_by_its_code(kept, eventually):
    """`exit 3` stays readable while the keeper tries again, ever slower."""
    kept.start(shell("echo hello; exit 3"), ENV)
    eventually(lambda: kept.status().restarts >= 2)
    assert kept.status().last_exit == "exit 3"
    assert kept.log().read_text().startswith("hello\nhello\n")


def test_the_pause_between_restarts_doubles(kept, folder, eventually):
    """0.1, 0.2, 0.4 s: never quicker than that, whatever the machine does."""
    kept.start(shell(f"date +%s.%N >> {folder}/times; exit 1"), ENV)
    eventually(lambda: kept.status().restarts >= 3)
    times = [float(line) for line in (folder / "times").read_text().split()]
    gaps = [b - a for a, b in pairwise(times)]
    assert all(gap >= pause for gap, pause in zip(gaps, (0.09, 0.19, 0.39), strict=False))


def test_a_program_that_is_not_there_says_so_in_the_log(kept, eventually):
    """No silent restarts: the log names it."""
    kept.start(("/no/such/program",), ENV)
    eventually(lambda: kept.status().last_exit == "exit 127")
    assert "cannot start /no/such/program: " in kept.log().read_text()


def test_what_a_crashed_child_left_in_its_group_ends_before_it_comes_back(
    kept, folder, eventually, runs
):
    """A worker of the old child would hold its socket."""
    kept.start(shell(f"sleep 1000 & echo $! >> {folder}/workers; wait"), ENV)
    eventually(lambda: (folder / "workers").exists() and (folder / "workers").read_text())
    worker = int((folder / "workers").read_text())
    os.kill(kept.status().pid, signal.SIGKILL)
    eventually(lambda: len((folder / "workers").read_text().split()) == 2)
    assert not runs(worker)


def test_stopping_lets_the_child_finish_and_keeps_its_log(kept, folder, eventually, runs):
    """SIGTERM first; the child decides how it ends."""
    kept.start(
        shell(f"trap 'echo bye; exit 0' TERM; touch {folder}/up; while :; do wait; done"), ENV
    )
    eventually((folder / "up").exists)
    pid, holder = kept.status().pid, kept._keeper()
    kept.stop(60)
    assert not runs(pid)
    assert not runs(holder)
    assert kept.log().read_text() == "bye\n"
    status = kept.status()
    assert (status.alive, status.kept, status.last_exit) == (False, False, "exit 0")


def test_a_child_that_does_not_listen_is_killed_with_its_group(kept, folder, eventually, runs):
    """Drain time over: SIGKILL to everyone in the group."""
    script = f"trap '' TERM; sleep 1000 & echo $! > {folder}/deaf; wait"
    kept.start(shell(script), ENV)
    eventually(lambda: (folder / "deaf").exists() and (folder / "deaf").read_text())
    kept.stop(0.2)
    assert kept.status().last_exit == "killed by SIGKILL"
    assert not runs(int((folder / "deaf").read_text()))


def test_stopping_what_does_not_run_is_no_error_and_makes_nothing(folder, clock):
    """Not even a folder."""
    one = Kept(folder / "never", clock)
    one.stop(1)
    one.discard(1)
    assert not (folder / "never").exists()


def test_discarding_keeps_only_the_log(folder, clock, eventually):
    """The last words stay readable after the folder is gone."""
    one = Kept(folder / "one", clock)
    one.start(shell("echo last words; exec sleep 1000"), ENV)
    eventually(lambda: one.log().read_text())
    one.discard(60, folder / "logs" / "one.log")
    assert (folder / "logs" / "one.log").read_text() == "last words\n"
    assert not (folder / "one").exists()


def test_a_killed_keeper_takes_the_child_with_it_and_a_new_one_can_start(
    kept, folder, eventually, runs
):
    """Nothing serves unsupervised, and what escaped the first keeper ends before the second."""
    kept.start(shell(f"setsid sleep 1000 & echo $! > {folder}/fled; wait"), ENV)
    eventually(lambda: (folder / "fled").exists() and (folder / "fled").read_text())
    child, fled = kept.status().pid, int((folder / "fled").read_text())
    os.kill(kept._keeper(), signal.SIGKILL)
    eventually(lambda: not runs(child))
    assert not kept.status().kept
    kept.start(FOREVER, ENV)
    assert not runs(fled)
    assert kept.status().alive
    assert kept.status().pid != child


def test_stopping_after_the_keeper_was_killed_ends_what_is_left(kept, folder, eventually, runs):
    """Stop means stopped, whoever supervises."""
    kept.start(shell(f"sleep 1000 & echo $! > {folder}/worker; wait"), ENV)
    eventually(lambda: (folder / "worker").exists() and (folder / "worker").read_text())
    os.kill(kept._keeper(), signal.SIGKILL)
    kept.stop(1)
    assert not runs(int((folder / "worker").read_text()))


def test_a_keeper_that_hangs_is_killed_by_stop(kept, eventually, runs, monkeypatch):
    """SIGSTOP on the keeper: stop still ends the child, a little later."""
    monkeypatch.setattr(keeping, "GRACE_SECONDS", 0.3)
    kept.start(FOREVER, ENV)
    pid = kept.status().pid
    os.kill(kept._keeper(), signal.SIGSTOP)
    kept.stop(0)
    eventually(lambda: not runs(pid))


def test_a_second_keeper_for_the_folder_leaves_at_once(kept, folder):
    """The lock is held by the first one for its life."""
    kept.start(FOREVER, ENV)
    pid = kept.status().pid
    second = subprocess.run(
        (sys.executable, "-I", "-S", keeper.__file__, str(folder / "one")),
        input=json.dumps({"argv": list(FOREVER), "env": {}}).encode(),
        check=False,
    )
    assert second.returncode == keeper.HELD
    assert kept.status().pid == pid


def test_ten_controllers_that_start_it_at_once_start_it_once(kept, folder, clock):
    """Whoever comes later adopts."""
    ones = [Kept(folder / "one", clock) for _ in range(10)]
    threads = [threading.Thread(target=one.start, args=(FOREVER, ENV)) for one in ones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.status().pid for one in ones}) == 1
    assert len(keeper.leftovers(folder / "one")) == 1


def test_it_outlives_a_controller_that_is_killed(folder, clock, eventually, runs):
    """kill -9 of the controller, hang-up of its session: the child does not notice."""
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from guarded_rollout.adapters.clock import SystemClock\n"
        "from guarded_rollout.adapters.processes.kept import Kept\n"
        "Kept(Path(sys.argv[1]), SystemClock()).start(('sleep', '1000'), {'PATH': sys.argv[2]})\n"
        "print('up', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script, folder / "one", ENV["PATH"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as controller:
        assert controller.stdout.readline() == b"up\n"
        os.killpg(controller.pid, signal.SIGHUP)
        controller.wait()
    one = Kept(folder / "one", clock)
    os.kill(one._keeper(), signal.SIGHUP)
    os.kill(one._keeper(), signal.SIGINT)
    status = one.status()
    assert status.alive
    assert runs(status.pid)
    one.stop(10)


def test_leftovers_are_found_without_a_status(kept, folder, eventually, runs):
    """A keeper can be killed after its child began and before it wrote that down."""
    kept.start(shell(f"sleep 1000 & echo $! > {folder}/worker; wait"), ENV)
    eventually(lambda: (folder / "worker").exists() and (folder / "worker").read_text())
    os.kill(kept._keeper(), signal.SIGKILL)
    eventually(lambda: not kept.status().kept)
    (folder / "one" / "status.json").unlink()
    kept.start(FOREVER, ENV)
    assert not runs(int((folder / "worker").read_text()))


def test_what_is_being_stopped_is_not_adopted(kept, folder, eventually, monkeypatch):
    """A controller was killed in mid-stop: the stop is finished first, then a new one starts."""
    monkeypatch.setattr(keeping, "GRACE_SECONDS", 0.3)
    kept.start(FOREVER, ENV)
    first = kept.status().pid
    (folder / "one" / "stop").write_text("5")
    kept.start(FOREVER, ENV)
    second = kept.status()
    assert second.alive
    assert second.pid != first
    kept.stop(0)
    kept.start(shell(f"trap '' TERM; touch {folder}/up; while :; do wait; done"), ENV)
    eventually((folder / "up").exists)
    deaf = kept.status().pid
    os.kill(kept._keeper(), signal.SIGTERM)
    eventually(lambda: json.loads((folder / "one" / "status.json").read_bytes())["ending"])
    (folder / "one" / "stop").write_text("0")
    kept.start(FOREVER, ENV)
    assert kept.status().pid != deaf
    assert len(keeper.leftovers(folder / "one")) == 1


def test_starting_and_discarding_at_once_never_leaves_two_or_one_unknown(folder, clock):
    """Whoever has the turn works on a folder of its own."""
    problems = []

    def play():
        one = Kept(folder / "one", clock)
        try:
            for _ in range(5):
                one.start(FOREVER, ENV)
                one.discard(1)
        except Exception as problem:  # noqa: BLE001 - told below
            problems.append(problem)

    threads = [threading.Thread(target=play) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert keeper.leftovers(folder / "one") == ()
    assert list(folder.iterdir()) == []


def test_a_stale_status_never_points_at_a_stranger(kept, folder, eventually):
    """The pid was given to another process: then the child is not alive."""
    kept.start(FOREVER, ENV)
    file = folder / "one" / "status.json"
    said = json.loads(file.read_bytes())
    file.write_text(json.dumps({**said, "child": os.getpid()}))
    assert not kept.status().alive
    file.write_text("half a li")
    status = kept.status()
    assert (status.alive, status.kept, status.pid) == (False, True, None)


def test_stale_sockets_are_removed_before_each_start(kept, folder, eventually):
    """A child that was killed cannot tidy up after itself."""
    stale = folder / "x.sock"
    stale.touch()
    kept.start(
        shell(f"test -e {stale} && echo stale; touch {stale}; sleep 0.3; exit 0"),
        ENV,
        unlink=(stale,),
    )
    eventually(lambda: kept.status().restarts >= 2)
    assert kept.log().read_text() == ""


def test_a_log_that_grows_is_turned_over_once(folder, clock, eventually):
    """Bounded: one older log is kept, the child keeps writing to the same descriptor."""
    one = Kept(folder / "one", clock)
    (folder / "one").mkdir()
    go = folder / "go"
    script = (
        f"yes line | head -c 5000; until [ -e {go} ]; do sleep 0.05; done; echo more; sleep 1000"
    )
    spec = {"argv": ["sh", "-c", script], "env": ENV, "log_bytes": 1000}
    subprocess.run(
        (sys.executable, "-I", "-S", keeper.__file__, str(folder / "one")),
        input=json.dumps(spec).encode(),
        check=True,
        start_new_session=True,
    )
    try:
        eventually(lambda: (folder / "one" / "log.1").exists() and one.log().stat().st_size == 0)
        go.touch()
        eventually(lambda: one.log().read_text() == "more\n")
        assert one.status().restarts == 0
    finally:
        one.stop(10)


def test_a_keeper_is_small(kept):
    """One per replica and one for the proxy: it must not cost what they cost."""
    kept.start(FOREVER, ENV)
    rss = next(
        int(line.split()[1])
        for line in Path(f"/proc/{kept._keeper()}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    assert rss < 16_000


def test_a_folder_that_cannot_be_written_is_a_problem_with_a_hint(folder, clock):
    """No traceback: what, and what now."""
    (folder / "one").mkdir()
    (folder / "one" / "keeper.lock").mkdir()
    with pytest.raises(Broken, match=r"keeper.lock cannot be used: Is a directory"):
        Kept(folder / "one", clock).start(FOREVER, ENV)
    (folder / "two").touch()
    with pytest.raises(Broken, match=r"two cannot be used: "):
        Kept(folder / "two", clock).start(FOREVER, ENV)
