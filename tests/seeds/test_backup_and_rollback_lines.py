"""The documents' command lines about backups, migrations and rollback, as typed, in a shell.

They run in the order of the documents' day: look, deploy, back up, ship again, go back. The
project is a copy with free ports and a short watch; its `.venv` lends `rollout` and installs
nothing.
"""

import re
from datetime import UTC, datetime

import pytest
from project_of_ours import Project
from site_of_ours import ENVIRONMENT, since_start

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.cli.wiring import Places, open_database
from guarded_rollout.ports import BackupRequest
from guarded_rollout.testing.control import Told

pytestmark = pytest.mark.slow

LATEST = "LATEST_BACKUP=$(ls -1 backups/dhash_*.zip | sort -r | head -n1)"
SPECIFIC = "backups/dhash_production_20240101_120000.zip"

BEFORE_ANYTHING = (
    "./scripts/deploy_dhash.sh --help",
    "./scripts/backup_dhash.sh --env staging --dry-run",
    "./scripts/deploy_dhash.sh --env staging --dry-run",
    "./scripts/migrate_dhash.sh --env staging --dry-run",
    "./scripts/deploy_dhash.sh --dry-run --env staging",
    "./scripts/migrate_dhash.sh --dry-run --env staging",
    "./scripts/deploy_dhash.sh --dry-run --env production",
)
BACKUPS = (
    "./scripts/backup_dhash.sh --env production",
    "./scripts/backup_dhash.sh --env production --retention-days 14",
    "./scripts/backup_dhash.sh --env production --retention-days 30",
)
DEPLOYS = (
    "./scripts/deploy_dhash.sh --env production",
    "./scripts/deploy_dhash.sh --env production --backup-first",
    "./quick-deploy.sh --env production",
    "./quick-deploy.sh production --skip-backup  # (not recommended for prod)",
)
CHECKS = (f'{LATEST}\nsha256sum -c "${{LATEST_BACKUP}}.sha256"', "ls -la backups/dhash_*.zip")
WITH_LATEST = f'{LATEST}\n./scripts/rollback_dhash.sh --backup "$LATEST_BACKUP" --env production'
ROLLBACKS = (
    './scripts/rollback_dhash.sh --env production --reason "performance-issue"',
    './scripts/rollback_dhash.sh --env production --reason "emergency-rollback"',
    WITH_LATEST,
    f"{WITH_LATEST} --force",
    (
        "./scripts/rollback_dhash.sh \\\n"
        "  --env production \\\n"
        f'  --backup "{SPECIFIC}" \\\n'
        '  --reason "specific-version-rollback"'
    ),
)
FIRST = "./quick-deploy.sh production"
STAGING = (
    "./scripts/backup_dhash.sh --env staging",
    "export DEBUG=1\n./scripts/deploy_dhash.sh --env staging --verbose",
)
LINES = (*BEFORE_ANYTHING, *BACKUPS, FIRST, *DEPLOYS, *CHECKS, *ROLLBACKS, *STAGING)


class Then(SystemClock):
    """Another day."""

    def __init__(self, at):
        self._at = at.timestamp()

    def now(self):
        return self._at


class Dated(Project):
    """With a backup of another day."""

    def back_up(self, at):
        """A backup as it would have been made then."""
        database = open_database(Places(self.root), load_spec(self.root, ENVIRONMENT))
        archive = ZipArchive(self.root, Then(at), "dhash")
        request = BackupRequest(ENVIRONMENT, None, "ops", "of old", ("rollout.toml",))
        assert archive.create(request, database, Told()).file == SPECIFIC

    def zips(self, environment):
        """The environment's backups, newest first."""
        found = (self.root / "backups").glob(f"dhash_{environment}_*.zip")
        return sorted((f"backups/{file.name}" for file in found), reverse=True)


@pytest.fixture(scope="module")
def project():
    with Dated() as ours:
        yield ours


def good(project, line):
    done = project.type(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "nothing may be installed" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("line", BEFORE_ANYTHING)
def test_looking_touches_nothing(project, line):
    """Before anything was deployed, in both environments."""
    before = project.fingerprint()
    said = good(project, line)
    assert project.fingerprint() == before
    if "--dry-run" in line:
        assert said.endswith("dry run: nothing was changed\n")


def test_the_first_deployment(project):
    """With a whole watch."""
    said = good(project, FIRST)
    assert "promoted" in said
    assert project.serving() == "1.0.0"


@pytest.mark.parametrize("line", BACKUPS)
def test_a_backup_is_made(project, line):
    """Beside it its checksum, which sha256sum accepts from the root."""
    before = set(project.zips(ENVIRONMENT))
    good(project, line)
    (new,) = set(project.zips(ENVIRONMENT)) - before
    assert good(project, f"sha256sum -c {new}.sha256") == f"{new}: OK\n"


@pytest.mark.parametrize("line", CHECKS)
def test_the_newest_backup_is_looked_at(project, line):
    """As the check lists do it."""
    assert project.zips(ENVIRONMENT)[0] in good(project, line)


def test_damage_is_found_by_the_documents_own_check(project):
    """One byte."""
    newest = project.root / project.zips(ENVIRONMENT)[0]
    content = newest.read_bytes()
    newest.chmod(0o600)
    newest.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    try:
        assert project.type(CHECKS[0]).returncode == 1
        done = project.type(f"{WITH_LATEST} --force")
        assert done.returncode == 1, done.stdout
        assert newest.name in done.stderr
    finally:
        newest.write_bytes(content)
    assert project.serving() == "1.0.0"


@pytest.mark.parametrize("line", DEPLOYS)
def test_another_version_is_deployed(project, line):
    """With a backup of its own, or with the newest one where that is asked for."""
    version = f"1.0.{DEPLOYS.index(line) + 1}"
    project.ship(version)
    before = set(project.zips(ENVIRONMENT))
    assert "promoted" in good(project, line)
    assert project.serving() == version
    new = set(project.zips(ENVIRONMENT)) - before
    assert len(new) == (0 if "--skip-backup" in line else 1)
    (backup,) = (
        body["outcome"]
        for kind, body in since_start(project.facts())
        if kind == "step-done" and body["step"] == "backup"
    )
    assert backup["verified"]


@pytest.mark.parametrize("line", ROLLBACKS)
def test_the_old_version_comes_back(project, line):
    """By a flip: a backup that is named is verified, and no row is touched."""
    old = project.serving()
    new = f"2.0.{ROLLBACKS.index(line)}"
    project.ship(new)
    words = ("deploy", "--env", ENVIRONMENT, "--detach")
    assert project.rollout(*words).returncode == 0
    project.wait_for(lambda facts: since_start(facts)[-1][0] == "observed")
    words = ("promote", "--env", ENVIRONMENT, "--reason", "to take it back")
    assert project.rollout(*words).returncode == 0
    assert project.serving() == new
    if SPECIFIC in line:
        project.back_up(datetime(2024, 1, 1, 12, tzinfo=UTC))
    said = good(project, line)
    assert "3 consecutive OK" in said
    assert project.serving() == old
    reason = re.search(r'--reason "(.+)"', line)
    (started,) = (body for kind, body in since_start(project.facts()) if kind == "started")
    assert started["reason"] == (reason[1] if reason else "manual")
    assert started["plan"]["kind"] == "rollback"


def test_staging_too(project):
    """A real backup, a real deployment that says more, and a migration of what is there."""
    for line in STAGING:
        good(project, line)
    good(project, STAGING[0])


def test_the_newest_backup_of_all_may_be_stagings_and_is_refused_for_production(project):
    """The documents sort by name, and s comes after p. The right file is named."""
    assert f"{project.zips('staging')[0]}: OK" in good(project, CHECKS[0])
    count, serving = len(project.facts()), project.serving()
    for line in (WITH_LATEST, f"{WITH_LATEST} --force"):
        done = project.type(line)
        assert done.returncode == 1, done.stdout
        assert "staging" in done.stderr
        assert project.zips(ENVIRONMENT)[0] in done.stderr
    assert (len(project.facts()), project.serving()) == (count, serving)


def test_two_environments_at_once_are_refused(project):
    """The documents write it in both ways."""
    done = project.type("./quick-deploy.sh staging --env production")
    assert done.returncode == 1
    assert "two environments" in done.stderr


def test_the_value_of_an_option_is_no_environment(project):
    """What quick-deploy does not know it hands on as it stands, spaces and all."""
    done = project.type("./quick-deploy.sh production --without-signoffs staging --dry-run")
    assert done.returncode == 0, done.stderr
    assert "deploy dhash" in done.stdout
    assert "in production" in done.stdout
    done = project.type("./quick-deploy.sh --reason 'to staging' --dry-run")
    assert done.returncode == 1
    assert "which environment?" in done.stderr
