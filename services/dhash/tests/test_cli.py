import json
import os
import subprocess
import sys

import pytest

from dhash import __version__


def run(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "dhash", *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_and_heads():
    assert run("--version").stdout == f"dhash {__version__}\n"
    assert run("heads").stdout == "0002\n"


def test_the_command_line_imports_nothing_heavy():
    code = (
        "import sys; from dhash.cli import _parser; _parser();"
        "print([m for m in ('PIL', 'sqlalchemy', 'starlette', 'alembic') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_hash_prints_one_line_for_each_picture(golden, tmp_path):
    done = run("hash", golden / "photo.png", golden / "rulebook.pdf")
    assert done.returncode == 0
    assert [line.split(" ", 2)[-1].rsplit("/")[-1] for line in done.stdout.splitlines()] == [
        "photo.png",
        *(f"rulebook.pdf page {number}" for number in range(1, 6)),
    ]
    wrong = run("hash", golden / "make_corpus.py", tmp_path / "none.png")
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 2


def test_golden_check_and_approve(golden, tmp_path):
    assert run("golden", "check", "--corpus", golden).returncode == 0
    for file in ("photo.png", "photo.webp"):
        (tmp_path / file).write_bytes((golden / file).read_bytes())
    assert run("golden", "check", "--corpus", tmp_path).returncode == 1
    refused = run("golden", "approve", "--corpus", tmp_path)
    assert refused.returncode == 1
    assert not (tmp_path / "golden.json").exists()
    assert "photo.webp" in run("golden", "approve", "--yes", "--corpus", tmp_path).stdout
    assert run("golden", "check", "--corpus", tmp_path).returncode == 0
    (tmp_path / "photo.png").write_bytes((golden / "page.png").read_bytes())
    changed = run("golden", "check", "--corpus", tmp_path)
    assert changed.returncode == 1
    assert "photo.png" in changed.stdout
    assert "photo.webp" not in changed.stdout


@pytest.mark.parametrize(
    ("arguments", "env", "word"),
    [
        (["serve"], {}, "--uds"),
        (["serve", "--uds", "x", "--port", "80"], {}, "either"),
        (["serve", "--port", "99999"], {}, "--port"),
        (["serve", "--uds", "x", "--workers", "0"], {}, "--workers"),
        (["serve", "--uds", "x"], {"DHASH_DATABASE_URL": "oracle://ann:hunter2@h"}, "sqlite"),
        (["serve", "--uds", "x"], {"DHASH_DATABASE_URL": "sqlite:////no/such/x.db"}, "folder"),
        (["serve", "--uds", "x"], {"DHASH_DATABASE_URL": "sqlite:////tmp/none-of.db"}, "migrate"),
        (
            ["serve", "--uds", "x"],
            {"DHASH_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"},
            "cannot be opened",
        ),
        (["golden", "check", "--corpus", "/no/such"], {}, "/no/such"),
    ],
)
def test_a_wrong_setup_is_one_line_and_code_2(arguments, env, word):
    done = run(*arguments, **env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert word in done.stderr
    assert "hunter2" not in done.stderr


def test_a_migration_to_nowhere_is_one_line(sqlite_url):
    done = run("migrate", "--to", "9999", DHASH_DATABASE_URL=sqlite_url)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert (
        "schema: 0002 -> 0001"
        in run("migrate", "--to", "0001", DHASH_DATABASE_URL=sqlite_url).stdout
    )


def test_the_log_probe_logs_what_it_reads():
    record = {
        "level": "ERROR",
        "event": "probe",
        "message": "said 100 % of it",
        "fields": {"password": "x", "n": 1},
        "exception": "token=abc",
        "request_id": "r1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "dhash", "log-probe"],
        input=json.dumps(record),
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = map(json.loads, done.stdout.splitlines())
    assert {line["level"], line["event"], line["request_id"]} == {"ERROR", "probe", "r1"}
    assert line["message"] == record["message"]
    assert line["fields"] == {"password": "[redacted]", "n": 1}
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("RuntimeError: token=[redacted]")
