"""`rollout agent` beside a real service: guards that die, a reboot, a hung agent, an upgrade."""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from site_of_ours import REPOSITORY, Site, since_start

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


@pytest.fixture
def newer(tmp_path):
    """Another version of the tool, installed beside the one at work."""
    package = tmp_path / "newer" / "guarded_rollout"
    shutil.copytree(REPOSITORY / "src" / "guarded_rollout", package)
    init = package / "__init__.py"
    text, count = init.read_text(), init.read_text().count('__version__ = "')
    assert count == 1
    init.write_text(text.replace('__version__ = "', '__version__ = "9.'))
    return package.parent


def runs(pid, package):
    """This process has its modules from there."""
    return f"PYTHONPATH={package}\0" in Path(f"/proc/{pid}/environ").read_text()


def test_an_upgrade_in_mid_rollout_leaves_the_guard_and_the_next_one_is_newer(
    site, releases, newer, monkeypatch
):
    """The agent is stopped and the newer one started; what is under way goes on."""
    with site.agent():
        done = site.rollout(
            "deploy", "--env", "production", "--source", releases("good"), "--detach"
        )
        assert done.returncode == 0, done.stderr
        site.wait_for(watching)
        older = site.guard_pid()
    monkeypatch.setitem(site.env, "PYTHONPATH", str(newer))
    assert "rollout 9." in site.rollout("--version").stdout
    with site.agent() as upgraded:
        assert runs(upgraded.pid, newer)
        assert site.guard_pid() == older
        assert not runs(older, newer)
        os.kill(older, signal.SIGKILL)
        site.wait_for(lambda facts: any(kind == "adopted" for kind, _ in since_start(facts)))
        assert runs(site.guard_pid(), newer)
        take_back(site)
    assert site.serving() == "1.0.0"
    assert site.rollout("audit", "verify").returncode == 0


def running(site):
    """What of the service there is."""
    return [line for line in site.processes().values() if " agent " not in line]


def test_what_was_taken_down_stays_down_until_somebody_brings_it_back(site):
    """The agent does not start it; a rollback does, and its data are there."""
    kept = sorted(file.name for file in (site.root / "data" / "production").iterdir())
    with site.agent():
        done = site.rollout("down", "--env", "production", "--reason", "tidying up", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["phase"] == "done"
        site.until(lambda: not running(site))
        for _ in range(20):
            assert site.status()["serving"] is None
            assert not running(site)
        again = site.rollout("down", "--env", "production", "--reason", "twice")
        assert again.returncode == 1
        assert "nothing is deployed in production" in again.stderr
        take_back(site)
        assert site.serving() == "1.0.0"
    assert kept == sorted(file.name for file in (site.root / "data" / "production").iterdir())
    assert site.rollout("audit", "verify").returncode == 0
