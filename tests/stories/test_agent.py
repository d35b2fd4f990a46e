"""`rollout agent` beside a real service: guards that die, a reboot, a hung agent, two of them."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
from site_of_ours import Site, since_start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site():
    """1.0.0 serves; an agent looks after it."""
    with Site(watch="20s", replicas=1) as ours:
        yield ours.serve_first()


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def take_back(site):
    done = site.rollout("rollback", "--env", "production", "--reason", "again", "--force")
    assert done.returncode == 0, done.stdout + done.stderr


def watching(facts):
    return any(kind == "observed" for kind, _ in since_start(facts))


def test_a_second_agent_is_refused_and_status_names_the_first(site):
    """Who, and where."""
    with site.agent() as first:
        done = site.rollout("agent")
        assert done.returncode == 1
        assert f"process {first.pid} looks after {site.root} already" in done.stderr
        assert site.status()["agent"] == first.pid
    assert site.status()["agent"] is None


def test_guards_are_its_children_and_one_that_is_killed_is_replaced(site, releases):
    """Nobody types anything; the rollout goes on from its journal."""
    with site.agent() as looking_after:
        done = site.rollout(
            "deploy", "--env", "production", "--source", releases("good"), "--detach"
        )
        assert done.returncode == 0, done.stderr
        site.wait_for(watching)
        first = site.guard_pid()
        assert parent(first) == looking_after.pid
        os.kill(first, signal.SIGKILL)
        site.wait_for(lambda facts: any(kind == "adopted" for kind, _ in since_start(facts)))
        assert site.guard_pid() not in {first, None}
        take_back(site)
    assert site.serving() == "1.0.0"


def test_what_should_serve_does_again_after_a_reboot(site):
    """Every process is gone at once, and only the agent is started again."""
    for pid in site.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def serves():
        with contextlib.suppress(OSError):
            return site.serving() == "1.0.0"
        return False

    assert not serves()
    with site.agent():
        site.until(serves)
    assert serves(), "what serves does not end with the agent"


def test_a_hung_agent_is_in_nobodys_way(site, releases):
    """Deploy, status and rollback do without it."""
    with site.agent() as hung:
        hung.send_signal(signal.SIGSTOP)
        done = site.rollout(
            "deploy", "--env", "production", "--source", releases("good"), "--detach"
        )
        assert done.returncode == 0, done.stderr
        site.wait_for(watching)
        assert site.rollout_active()["guard"] is not None
        take_back(site)
    assert site.serving() == "1.0.0"
