"""A desk whose clock stands still, and a notice."""

import os
import threading
from pathlib import Path

import pytest
from notice_servers import AUTHORITY
from still_clock import StillClock

from guarded_rollout.core.notice import Notice
from guarded_rollout.notify import Desk, Patience, load_templates


class Counted(StillClock):
    """Counts the time that is slept; others get a moment of it, so that locks change hands."""

    def sleep(self, seconds):
        super().sleep(seconds)
        threading.Event().wait(0.001)


@pytest.fixture
def notice():
    """As the engine would send it."""
    return Notice(
        type="gate-breach",
        environment="production",
        message="dhash 1.4.0 is slower than allowed.",
        at=StillClock().at,
        service="dhash",
        version="1.4.0",
        evidence=("p95: 2300 ms, limit 2000 ms, 812 requests",),
        done="The rollback has begun.",
        now="Look at the slow requests.",
        look=("https://dashboard.example.com/d/1?x=1", "logs/monitor_production_1.log"),
        rollout="production-1",
        key="production-1.breach",
    )


@pytest.fixture
def desk(tmp_path):
    """`desk(SLACK_WEBHOOK_URL=...)`: time is counted, nobody waits; chance is always a half."""

    def made(*, root=tmp_path, patience=None, **environ):
        return Desk(
            root=root,
            clock=Counted(),
            environ=environ,
            templates=load_templates(None),
            say=lambda _: None,
            patience=patience or Patience(),
            chance=lambda: 0.5,
        )

    return made


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """This process trusts the tests' certificate authority."""
    file = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(file))
    return Path(file)
