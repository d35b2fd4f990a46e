"""Every fenced command of the seed documents is typed somewhere, and here are those of the set-up.

The commands lie in `commands.json`, made by `tests/support/seed_commands.py`. Families of lines
have a file of their own beside this one, with one site for all of its lines.
"""

import os
import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from seed_commands import FILE, Said, extracted, kept, statements, written

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.configuration.conf_file import read_conf

REPOSITORY = Path(__file__).parents[2]
FAMILIES = (
    "test_backup_and_rollback_lines",
    "test_monitor_lines",
    "test_notification_lines",
    "test_smoke_and_logging_lines",
)

SET_UP = (
    "npm install",
    "mkdir -p logs backups config migrations",
    "cp config/dhash_staging.conf.example config/dhash_staging.conf",
    "cp config/dhash_production.conf.example config/dhash_production.conf",
    'export SLACK_WEBHOOK_URL="https://hooks.slack.com/..."',
    'export TEAMS_WEBHOOK_URL="https://outlook.office.com/..."',
    "chmod +x scripts/*.sh",
)
"""In the order of the document, in one shell."""

CONTENTS = {
    "config/dhash_production.conf": (
        "DHASH_SERVICE_NAME=dhash-production",
        "DHASH_IMAGE_TAG=v1.2.3",
        "DHASH_REPLICAS=3",
        "DHASH_MEMORY_LIMIT=2Gi",
        "DHASH_CPU_LIMIT=1000m",
    ),
    "config/db_production.conf": (
        "DB_HOST=prod-db.company.com",
        "DB_PORT=5432",
        "DB_NAME=dhash_prod",
        "DB_USER=dhash_prod_user",
    ),
}
"""Fenced as commands, but what a file has in it."""

NOT_OURS = {
    "git clone <repository-url>": "a placeholder: a shell reads < as a redirection",
    "cd MOBIUS": "the name of the folder that the clone made, elsewhere another",
    "git checkout -b feature/my-feature": "git's own, before anything of ours is called",
    'curl -f "$SLACK_WEBHOOK_URL"': "Slack's own answer to a GET; ours is `rollout notify check`",
}
LINES = (*SET_UP, *(line for lines in CONTENTS.values() for line in lines), *NOT_OURS)


def family(name):
    spec = spec_from_file_location(f"family_{name}", Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LINES


def test_every_command_belongs_to_exactly_one_family():
    """None is left out, and no family types what no document says."""
    lines = {name: family(name) for name in FAMILIES} | {"here": LINES}
    typed = {
        name: {command for line in of for command in statements(line)} for name, of in lines.items()
    }
    said = {one.command for one in kept()}
    found = {command: [name for name, of in typed.items() if command in of] for command in said}
    assert {command: names for command, names in found.items() if len(names) != 1} == {}
    assert {name: of - said for name, of in typed.items() if of - said} == {}


def test_every_family_is_listed():
    """A new file of lines would count for nothing."""
    beside = {file.stem for file in Path(__file__).parent.glob("test_*_lines.py")}
    assert beside == set(FAMILIES)


def test_the_five_documents_are_all_there():
    """As many as were extracted; whoever makes the file anew from fewer notices here."""
    assert sorted({one.document for one in kept()}) == ["000", "001", "002", "003", "004"]
    assert len(kept()) > 90
    assert written(kept()) == FILE.read_text()


@pytest.mark.skipif("SEED_DOCUMENTS" not in os.environ, reason="the documents are not here")
def test_nothing_was_left_out_or_written_by_hand():
    """SEED_DOCUMENTS names the folder of the documents."""
    assert extracted(Path(os.environ["SEED_DOCUMENTS"])) == kept()


def test_extraction_reads_fences_as_a_person_does(tmp_path):
    """Indented ones, with blanks behind the language, continued lines, a pipeline's steps."""
    (tmp_path / "007_x.txt").write_text(
        "```bash  \n# a remark\none \\\n  --more\n\n```\ntext ./no.sh\n"
        "- [ ] x\n  ```bash\n  two # why\n  ```\n```\nno\n```\n"
        "```yaml\nscript:\n  - ./three.sh\n  - main\n```\n"
    )
    assert extracted(tmp_path) == [
        Said("007", 3, "one \\\n  --more"),
        Said("007", 10, "two # why"),
        Said("007", 17, "./three.sh"),
    ]


@pytest.fixture
def clone(tmp_path):
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    shutil.copytree(
        REPOSITORY / "services" / "dhash" / "golden", tmp_path / "services/dhash/golden"
    )
    for name in ("rollout.toml", "quality-gates-config.json", "package.json"):
        shutil.copy2(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_the_set_up(clone):
    """In one shell, as typed; afterwards both environments are configured."""
    for script in (clone / "scripts").glob("*.sh"):
        script.chmod(0o644)
    whole = "set -e\n" + "\n".join(SET_UP) + '\necho "$SLACK_WEBHOOK_URL $TEAMS_WEBHOOK_URL"'
    done = subprocess.run(
        ["bash", "-c", whole], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("https://hooks.slack.com/... https://outlook.office.com/...\n")
    assert all(os.access(script, os.X_OK) for script in (clone / "scripts").glob("*.sh"))
    assert load_spec(clone, "production", environ={}).environment.replicas == 3
    assert load_spec(clone, "staging", environ={}).warnings == ()


def test_the_contents_of_the_conf_files(clone):
    """They are read as they stand in the document."""
    for name, lines in CONTENTS.items():
        (clone / name).write_text("\n".join(lines) + "\n")
        assert len(read_conf(clone / name, name)) == len(lines)
    environment = load_spec(clone, "production", environ={}).environment
    assert environment.replicas == 3
    assert dict(environment.env)["DHASH_SERVICE_NAME"] == "dhash-production"
    database = environment.database
    assert (database.host, database.port) == ("prod-db.company.com", 5432)
    assert (database.name, database.user) == ("dhash_prod", "dhash_prod_user")
