"""Whose lease it is when owners die, hang, or leave orphans behind. All are real processes."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest

from guarded_rollout.adapters.journal import leases
from guarded_rollout.core.facts import Adopted
from guarded_rollout.core.problems import Busy

SLEEPER = ("sleep", "120")


def test_a_killed_owner_is_succeeded_at_once(controllers, journal):
    """Though its lease has most of a minute left."""
    owner = controllers.start("hold", "production", lease=60)
    assert controllers.said(owner) == ["holding", "0"]
    with pytest.raises(Busy) as caught:
        journal.claim("production", "next")
    assert f"guard (process {owner.pid}) has the lease" in caught.value.why.what
    assert f"kill -9 {owner.pid}" in caught.value.why.hint
    assert journal.holder("production").alive
    controllers.kill(owner)
    assert not journal.holder("production").alive
    assert journal.claim("production", "next").fence == 2


@pytest.mark.parametrize("verb", ["hold", "lead"])
def test_a_hung_owner_is_ended_when_its_lease_is_over(
    controllers, journal, runs, verb, claim_when_possible
):
    """With what it handed its lock to, and with the process group it leads."""
    owner = controllers.start(verb, "production", *SLEEPER, lease=1)
    child = controllers.also_end(controllers.said(owner)[1])
    os.kill(owner.pid, signal.SIGSTOP)
    lease = claim_when_possible(journal)
    assert lease.fence == 2
    assert owner.wait() == -signal.SIGKILL
    assert not runs(child)


def test_an_owner_that_is_well_but_looks_late_is_spared(controllers, open_journal, runs):
    """The clock jumped ahead of its heartbeats: it gets one more to show that it lives."""
    owner = controllers.start("hold", "production", lease=600)
    assert controllers.said(owner) == ["holding", "0"]

    class Ahead:
        """Time as a machine sees it after it slept; the owner's heartbeat comes meanwhile."""

        def __init__(self, clock):
            self.clock = clock
            self.looks = 0

        def now(self):
            return self.clock.now() + 3600

        def monotonic(self):
            return self.clock.monotonic()

        def sleep(self, seconds):
            self.looks += 1
            if self.looks == 5:
                with journal._file.writing() as connection:
                    connection.execute("UPDATE leases SET until = until + 7200")
            self.clock.sleep(seconds)

    journal = open_journal(lease_seconds=600)
    journal._leases = leases.Leases(
        journal._file, Ahead(journal._clock), journal._leases.locks, 600
    )
    with pytest.raises(Busy, match=f"process {owner.pid}"):
        journal.claim("production", "next")
    assert runs(owner.pid)


def test_an_orphans_command_is_waited_for_then_ended(
    controllers, journal, runs, claim_when_possible
):
    """Its owner is dead, but two migrations at once would be worse than a wait."""
    owner = controllers.start("hold", "production", *SLEEPER, lease=5)
    orphan = controllers.also_end(controllers.said(owner)[1])
    controllers.kill(owner)
    with pytest.raises(Busy) as caught:
        journal.claim("production", "next")
    assert f"guard (process {owner.pid}) is gone, but process {orphan}" in caught.value.why.what
    assert runs(orphan), "the lease was not over"
    assert claim_when_possible(journal).fence == 2
    assert not runs(orphan)


def test_the_next_owner_waits_for_a_command_that_is_about_to_end(controllers, journal):
    """A guard ends its command within moments of the owner's death: no need to bother anybody."""
    owner = controllers.start("hold", "production", "sh", "-c", "read line; sleep 0.3", lease=60)
    controllers.also_end(controllers.said(owner)[1])
    controllers.kill(owner)
    owner.stdin.close()  # as a guard sees its pipe end
    assert journal.claim("production", "next").fence == 2


def test_a_process_with_a_dead_owners_number_is_not_touched(controllers, journal, runs):
    """The number was given to somebody else: neither it nor its group is the owner's."""
    innocent = subprocess.Popen(SLEEPER, start_new_session=True)
    controllers.started.append(_with_pipes(innocent))
    owner = controllers.start("hold", "production", lease=600)
    assert controllers.said(owner) == ["holding", "0"]
    with journal._file.writing() as connection:
        connection.execute(
            "UPDATE leases SET until = 0, started = started - 1000, pid = ?, process_group = ?",
            (innocent.pid, innocent.pid),
        )
    with pytest.raises(Busy) as caught:
        journal.claim("production", "next")
    assert "still holds its lock" in caught.value.why.what
    assert f"kill -9 {owner.pid}" in caught.value.why.hint
    assert runs(innocent.pid)
    assert runs(owner.pid), "it holds the lock, but it is not the recorded owner"


def _with_pipes(process):
    process.stdin = process.stdout = open(os.devnull)  # noqa: SIM115, PTH123 - closed at the end
    return process


def test_a_forked_child_does_not_keep_its_parents_lock(controllers, journal, runs):
    """Only what is handed on by purpose does."""
    owner = controllers.start("fork", "production", lease=60)
    word, child, *fds = controllers.said(owner)
    controllers.also_end(child)
    assert (word, fds) == ("forked", [])
    controllers.kill(owner)
    assert runs(child)
    assert journal.claim("production", "next").fence == 2


def test_a_replaced_lock_file_gives_nobody_two_owners(controllers, journal, tmp_path):
    """Somebody deleted it while its owner was at work."""
    owner = controllers.start("hold", "production", lease=600)
    assert controllers.said(owner) == ["holding", "0"]
    (tmp_path / "locks" / "production.lock").unlink()
    with pytest.raises(Busy, match="was replaced while guard"):
        journal.claim("production", "next")
    assert journal.lease_fds("production") == ()
    assert journal.holder("production").pid == owner.pid


def test_a_lock_without_a_lease_is_not_gone_past(controllers, journal, clock):
    """A command has outlived the rollout that started it: a person must see to it."""
    lease = journal.claim("production", "guard")
    command = subprocess.Popen(SLEEPER, pass_fds=journal.lease_fds("production"))
    controllers.started.append(_with_pipes(command))
    journal.release(lease)
    with pytest.raises(Busy) as caught:
        journal.claim("production", "guard")
    assert f"process {command.pid} holds the lock of production" in caught.value.why.what
    command.kill()
    command.wait()
    assert journal.claim("production", "guard").fence == 2


def test_an_owner_that_nobody_buried_is_dead(controllers, journal, runs):
    """A zombie has a number and a start, but no files and no future."""
    owner = controllers.start("hold", "production", lease=60)
    assert controllers.said(owner) == ["holding", "0"]
    owner.kill()
    while runs(owner.pid):
        journal._clock.sleep(0.01)
    assert (Path("/proc") / str(owner.pid)).exists()
    assert not journal.holder("production").alive
    assert journal.claim("production", "next").fence == 2


def test_a_lock_file_that_vanishes_while_it_is_locked_is_tried_again(
    journal, tmp_path, monkeypatch
):
    """A lock on a file that is no longer there would guard nothing."""
    flock, path = fcntl.flock, tmp_path / "locks" / "production.lock"

    def late(handle, how):
        if not path.with_name("gone").exists():
            path.rename(path.with_name("gone"))
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    journal.claim("production", "guard")
    (handle,) = journal.lease_fds("production")
    assert os.path.samestat(os.fstat(handle), path.stat())


def test_after_a_reboot_nobody_waits(journal):
    """The lease has time left, but no process of that boot can live."""
    journal.claim("production", "guard")
    journal.close()
    with journal._file.writing() as connection:
        connection.execute("UPDATE leases SET host = 'this machine, another boot'")
    assert journal.claim("production", "next").fence == 2


def test_an_owner_in_another_container_is_never_ended(controllers, journal, runs):
    """Its process number means something else here. The lock still stands between the two."""
    owner = controllers.start("hold", "production")
    assert controllers.said(owner) == ["holding", "0"]
    with journal._file.writing() as connection:
        connection.execute("UPDATE leases SET host = 'another container', until = 0")
    with pytest.raises(Busy, match="it may run on another container"):
        journal.claim("production", "next")
    assert runs(owner.pid)


def test_the_lock_can_be_handed_to_a_command(journal):
    """And to nothing else: it is closed in other children."""
    assert journal.lease_fds("production") == ()
    lease = journal.claim("production", "guard")
    (handle,) = journal.lease_fds("production")
    assert not os.get_inheritable(handle)
    journal.release(lease)
    assert journal.lease_fds("production") == ()


def test_a_late_owner_does_not_give_its_successors_lock_back(journal, open_journal):
    """Both are in one process here; the lock is the successor's now."""
    lost = journal.claim("production", "guard")
    with journal._file.writing() as connection:
        connection.execute("UPDATE leases SET until = 0")
    open_journal().claim("production", "next")
    journal.release(lost)
    assert len(journal.lease_fds("production")) == 1
    assert journal.holder("production").owner == "next"


def test_a_writer_that_lost_its_lease_to_another_process_is_stopped(controllers, journal, started):
    """The fence is checked in the transaction that writes."""
    first = journal.begin("production", "r1", started(), exclusive=True)
    lost = journal.claim("production", "guard")
    with journal._file.writing() as connection:
        connection.execute("UPDATE leases SET until = 0")
    journal.close()
    successor = controllers.start("hold", "production")
    assert controllers.said(successor) == ["holding", "0"]
    with pytest.raises(Busy, match="has lost the lease"):
        journal.append(lost, "r1", Adopted("guard"), after=first.seq)
    assert journal.entries("r1") == (first,)
