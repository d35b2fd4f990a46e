"""What only a process of its own shows: how it starts, and what a closed pipe does to it."""

import os
import subprocess
import sys

import pytest

HEAVY = (
    "envoy",
    "msgspec",
    "sqlite3",
    "subprocess",
    "tomllib",
    "urllib.request",
    "guarded_rollout.adapters",
    "guarded_rollout.engine",
    "guarded_rollout.ports",
)


@pytest.mark.parametrize(
    "words", [["--help"], ["deploy", "--help"], ["--version"], ["depoly"]], ids=" ".join
)
def test_help_imports_no_more_than_it_shows(words):
    """Structure, not time: the adapters and what they need stay out."""
    program = (
        "import sys\n"
        "from guarded_rollout.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split()
    allowed = {"msgspec", "guarded_rollout.ports"} if words == ["depoly"] else set()
    found = {name for name in HEAVY for module in loaded if f"{module}.".startswith(f"{name}.")}
    assert found <= allowed, found


def command(project, *words):
    """The argument list of `rollout` in a process of its own."""
    return [sys.executable, "-m", "guarded_rollout", *words, "--root", str(project.root)]


@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["backup", "list"]], ids=" ".join
)
def test_a_closed_pipe_ends_a_command_quietly(project, words):
    """`rollout status | head -0`: no traceback, and no 0 either."""
    process = subprocess.Popen(
        command(project, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    last = said.splitlines()[-1]
    assert last == "rollout: standard output cannot be written (Broken pipe); nothing was changed"
    assert "Traceback" not in said


def test_nobody_reading_either_stream_is_no_traceback_and_no_success(project):
    """`rollout status 2>&1 | head -0`."""
    reading, writing = os.pipe()
    process = subprocess.Popen(command(project, "status"), stdout=writing, stderr=writing)
    os.close(reading)
    os.close(writing)
    assert process.wait(60) == 141


def test_a_full_disk_behind_standard_output_is_said(project):
    """`rollout status > /full/disk` must not look as if it had been written."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            command(project, "status"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 141
    assert "standard output cannot be written (No space left on device)" in done.stderr


def test_a_closed_standard_output_is_no_defect(project):
    """`rollout status >&-`: there is nobody to tell."""
    line = " ".join(command(project, "status"))
    done = subprocess.run(["sh", "-c", f"{line} >&-"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_no_umlauts_gets_something(project):
    """What it cannot show is spelled; nothing is lost for that."""
    project.begin(name="production-grün")
    done = subprocess.run(
        command(project, "rollback", "--env", "production", "--dry-run"),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "would roll back deploy production-gr\\xfcn" in done.stdout
