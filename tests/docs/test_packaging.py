"""The unit file, by systemd's own word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "rollout-agent.service"
BINARY = Path(sys.executable).with_name("rollout")


def verify(folder, text):
    unit = folder / UNIT.name
    unit.write_text(text)
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "info"},
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_systemd_understands_the_unit(tmp_path):
    """With this checkout's paths; and it does notice a key that is wrong."""
    text = UNIT.read_text().replace("/opt/guarded-rollout/.venv/bin/rollout", str(BINARY))
    done = verify(tmp_path, text)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = verify(tmp_path, text.replace("KillMode=process", "KillMode=everything"))
    assert "kill mode" in wrong.stderr


def test_what_the_agent_leaves_running_outlives_it():
    """systemd's default would kill guards, replicas and the proxy at a restart."""
    lines = UNIT.read_text().splitlines()
    assert "KillMode=process" in lines
    assert "RuntimeDirectoryPreserve=yes" in lines
    assert any(line.startswith("ExecStart=") and " agent " in line for line in lines)


def test_the_image_has_what_the_tool_needs():
    """Every path that it copies is here."""
    for line in (ROOT / "packaging" / "Containerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
