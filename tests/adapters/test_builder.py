"""Releases from source: the same source gives the same release, whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guarded_rollout.adapters.builds import builder as building
from guarded_rollout.adapters.builds.builder import VenvBuilder
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes import keeper
from guarded_rollout.adapters.processes.turn import turn
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted, NotPossible
from guarded_rollout.core.spec import Migrations
from guarded_rollout.testing import examples

TOY = Path(__file__).parents[1] / "toy_service"
CLOCK = SystemClock()
SERVICE = replace(examples.service(), migrations=None)
MIGRATING = replace(SERVICE, migrations=Migrations("{site_packages}/toy_service/alembic.ini"))


class Listener:
    """A control that says stop once a line begins with `at`."""

    def __init__(self, at=None):
        self.said = []
        self._at = at

    def say(self, text):
        self.said.append(text)

    def stopped(self):
        return self._at is not None and any(line.startswith(self._at) for line in self.said)


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    yield made
    for where, _, _ in os.walk(made):
        Path(where).chmod(0o700)
    shutil.rmtree(made)


@pytest.fixture
def source(folder):
    """The toy's source, to change it."""
    return shutil.copytree(TOY, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def builder(folder):
    return VenvBuilder(folder / "state", CLOCK)


@pytest.fixture(scope="module")
def once():
    """One built release for the tests that only look at it."""
    made = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    builder = VenvBuilder(made / "state", CLOCK)
    release = builder.describe(SERVICE, TOY)
    yield builder, builder.build(SERVICE, TOY, release, Listener())
    builder.remove(release)
    shutil.rmtree(made)


def hidden(folder):
    """What is in the service's folder besides releases."""
    return sorted(p.name for p in (folder / "state" / "releases" / "toy").glob(".*"))


def test_a_release_runs_from_where_it_is(once):
    """Its own interpreter, its own packages, nothing of ours."""
    _, built = once
    python = built.folder / "venv" / "bin" / "python"
    said = subprocess.run(
        (python, "-c", "import toy_service, sys; print(toy_service.__file__, sys.prefix)"),
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert Path(said[0]).is_relative_to(built.folder)
    assert Path(said[1]) == built.folder / "venv"
    imports = (python, "-c", "import guarded_rollout")
    assert subprocess.run(imports, env={}, capture_output=True, check=False).returncode == 1


def test_a_release_is_read_only_and_recorded(once):
    """Every file is in the manifest, and nothing else is in the folder."""
    builder, built = once
    files = [path for path in built.folder.rglob("*") if not path.is_symlink()]
    assert {path.stat().st_mode & 0o222 for path in (*files, built.folder)} == {0}
    assert builder.intact(built.release) == ()
    assert sorted(p.name for p in built.folder.iterdir()) == ["manifest.json", "venv"]


def test_what_is_built_is_found_again_by_another_controller(once):
    """Looking is cheap and needs no source."""
    builder, built = once
    other = VenvBuilder(built.folder.parents[2], CLOCK)
    assert other.built(built.release) == built
    assert other.releases("toy") == (built.release,)
    assert other.releases("nobody") == ()
    listener = Listener()
    assert builder.build(SERVICE, TOY, built.release, listener) == built
    assert listener.said == []
    stranger = replace(built.release, digest=built.release.digest[:12] + "0" * 52)
    assert stranger.name == built.release.name
    assert other.built(stranger) is None


def test_describing_writes_nothing_and_gives_the_same_twice(source, builder, folder):
    """Name from rollout.toml, version from the source, digest of what goes into a build."""
    before = sorted(folder.rglob("*"))
    release = builder.describe(SERVICE, source)
    assert (release.service, release.version) == ("toy", "1.0.0")
    assert release == builder.describe(SERVICE, source)
    assert sorted(folder.rglob("*")) == before
    assert builder.built(release) is None


@pytest.mark.parametrize(
    "path",
    ["tests/test_x.py", "golden/x.png", "bench/x.py", "build/x", "dist/x.whl", ".venv/x", ".env",
     "src/toy_service/__pycache__/x.pyc", ".pytest_cache/x", "src/toy.egg-info/PKG-INFO",
     ".hypothesis/x", "src/toy_service/.cache/x"],
)  # fmt: skip
def test_what_does_not_go_into_a_build_does_not_change_the_release(source, builder, path):
    """Tests, caches and a developer's secrets are not part of it."""
    before = builder.describe(SERVICE, source)
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_text("x")
    assert builder.describe(SERVICE, source) == before


def test_everything_else_changes_it(source, builder):
    """Content, names, the executable bit, requirements."""
    seen = {builder.describe(SERVICE, source).digest}
    for change in (
        lambda: (source / "README.md").write_text("new"),
        lambda: (source / "README.md").rename(source / "README"),
        lambda: (source / "README").chmod(0o755),
        lambda: (source / "requirements.lock").write_text("# none\n"),
        lambda: (
            (source / "src" / "toy_service" / "tests").mkdir()
            or (source / "src" / "toy_service" / "tests" / "data").touch()
        ),
        lambda: (source / ".gitignore").write_text("x"),
    ):
        change()
        seen.add(builder.describe(SERVICE, source).digest)
    assert len(seen) == 7


NAMES = st.text("ab/ .x\n", min_size=1, max_size=6).filter(
    lambda name: (
        all(part.strip(".") for part in name.split("/"))
        and not any(part.startswith(".") for part in name.split("/"))
    )
)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=3), max_size=4),
       st.dictionaries(NAMES, st.binary(max_size=3), max_size=4))  # fmt: skip
def test_two_sources_have_one_digest_only_if_they_are_the_same(one, other):
    """No shuffling of bytes between names and contents gives the same digest."""
    digests = []
    with tempfile.TemporaryDirectory() as top:
        for number, files in enumerate((one, other)):
            place = shutil.copytree(TOY, Path(top) / str(number))
            try:
                for name, content in files.items():
                    (place / "data" / name).parent.mkdir(parents=True, exist_ok=True)
                    (place / "data" / name).write_bytes(content)
            except OSError:
                return  # one name is another one's folder
            digests.append(VenvBuilder(Path(top), CLOCK).describe(SERVICE, place).digest)
    assert (digests[0] == digests[1]) == (one == other)


def edited(file, old, new):
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shutil.rmtree, "there is no source folder"),
        (lambda s: (s / "pyproject.toml").unlink(), "pyproject.toml is missing"),
        (lambda s: (s / "pyproject.toml").write_text("[a\n"), "is not valid TOML: .* line 1"),
        (
            lambda s: edited(s / "pyproject.toml", "hatch.version", "x"),
            r"\[project\] has no version",
        ),
        (
            lambda s: edited(s / "pyproject.toml", "__init__", "no"),
            "names .*no.py, which cannot be",
        ),
        (
            lambda s: edited(s / "src/toy_service/__init__.py", "__version__", "V"),
            r"__init__.py has no line like __version__",
        ),
        (
            lambda s: edited(s / "src/toy_service/__init__.py", "1.0.0", "../1"),
            "'../1' is no version",
        ),
        (lambda s: (s / "requirements.lock").unlink(), "requirements.lock is missing"),
        (lambda s: (s / "hosts").symlink_to("/etc/hosts"), "hosts is a link to /etc/hosts"),
        (lambda s: (s / "loop").symlink_to(s), "loop is a link to"),
        (lambda s: os.mkfifo(s / "pipe"), "pipe is neither a file nor a folder"),
    ],
)
def test_a_source_that_cannot_be_built_is_refused_by_file_and_key(source, builder, change, says):
    """Before anything is written."""
    change(source)
    with pytest.raises(BadInput, match=says) as refused:
        builder.describe(SERVICE, source)
    assert refused.value.why.hint


def test_a_version_in_the_project_table_counts(source, builder):
    """Static or found by hatch."""
    edited(source / "pyproject.toml", 'dynamic = ["version"]', 'version = "2.1.0rc1"')
    assert builder.describe(SERVICE, source).version == "2.1.0rc1"


def test_a_service_name_that_is_no_folder_name_is_refused(source, builder):
    """It becomes a path."""
    with pytest.raises(BadInput, match="cannot name a folder"):
        builder.describe(replace(SERVICE, name="../x"), source)


def test_a_source_that_changed_since_the_plan_is_not_built(source, builder, folder):
    """The plan was made for something else; nothing is left behind."""
    release = builder.describe(SERVICE, source)
    (source / "README.md").write_text("new")
    with pytest.raises(BadInput, match=r"changed since the plan was made for 1\.0\.0-"):
        builder.build(SERVICE, source, release, Listener())
    assert builder.built(release) is None
    assert hidden(folder) == []


def test_a_requirement_that_cannot_be_had_is_told_with_the_log(source, builder, folder):
    """uv's own words, and where the rest is."""
    (source / "requirements.lock").write_text("alembic==1.20.1\n")
    release = builder.describe(SERVICE, source)
    with pytest.raises(Broken, match=r"`uv pip install` failed for 1.0.0-.*(?s:.*)hash") as broken:
        builder.build(SERVICE, source, release, Listener())
    log = folder / "state" / "logs" / f"build-{release.name}.log"
    assert str(log) in broken.value.why.hint
    assert "alembic" in log.read_text()
    assert hidden(folder) == []
    assert builder.releases("toy") == ()


def test_a_requirement_that_the_lock_forgot_is_told(source, builder):
    """The service says it needs more than the lock names."""
    edited(
        source / "pyproject.toml", "requires-python", 'dependencies = ["alembic"]\nrequires-python'
    )
    release = builder.describe(SERVICE, source)
    with pytest.raises(Broken, match=r"`uv pip check` failed(?s:.*)alembic"):
        builder.build(SERVICE, source, release, Listener())


def test_a_service_that_cannot_be_built_is_told(source, builder, folder):
    """Its build backend fails."""
    edited(source / "pyproject.toml", 'packages = ["src/toy_service"]', "packages = 7")
    release = builder.describe(SERVICE, source)
    with pytest.raises(Broken, match=r"`uv build` failed(?s:.*)packages"):
        builder.build(SERVICE, source, release, Listener())
    assert hidden(folder) == []


def test_a_build_backend_is_held_to_its_hashes_when_the_source_has_them(source, builder):
    """requirements-build.lock: other people's code runs in a build, too."""
    lock = source / "requirements-build.lock"
    lock.write_text("hatchling==1.27.0 --hash=sha256:" + "0" * 64 + "\n")
    release = builder.describe(SERVICE, source)
    with pytest.raises(Broken, match=r"`uv build` failed(?s:.*)[Hh]ash"):
        builder.build(SERVICE, source, release, Listener())


@pytest.fixture
def migrating(source):
    """The toy with its migrations: Alembic from hashed requirements."""
    shutil.copy(source / "requirements-migrations.lock", source / "requirements.lock")
    return source


def test_the_schema_head_is_the_releases_own_word(migrating, builder):
    """Asked with the built environment; kept in the manifest."""
    release = builder.describe(MIGRATING, migrating)
    built = builder.build(MIGRATING, migrating, release, Listener())
    assert built.head == "0002_second"
    assert builder.built(release) == built
    # Python writes what it compiles, root even where nobody may: so all of it is compiled.
    every = "import alembic.config, alembic.command, mako.template, sqlalchemy.dialects.sqlite"
    python = built.folder / "venv" / "bin" / "python"
    subprocess.run((python, "-c", every), env={}, check=True)
    assert builder.intact(release) == ()


def test_two_schema_heads_are_refused(migrating, builder, folder):
    """A release needs one schema; with what to do."""
    versions = migrating / "src" / "toy_service" / "migrations" / "versions"
    (versions / "0002_third.py").write_text(
        '"""Another."""\nrevision = "0002_third"\ndown_revision = "0001_first"\n'
    )
    release = builder.describe(MIGRATING, migrating)
    with pytest.raises(BadInput, match=r"2 schema heads: 0002_(second|third), 0002_"):
        builder.build(MIGRATING, migrating, release, Listener())
    assert hidden(folder) == []


def test_a_missing_alembic_configuration_is_refused(source, builder, folder):
    """By the path that rollout.toml would have to name."""
    release = builder.describe(SERVICE, source)
    nowhere = replace(SERVICE, migrations=Migrations("{site_packages}/toy_service/no.ini"))
    with pytest.raises(BadInput, match=r"has no file \{folder\}/venv/lib/.*toy_service/no.ini"):
        builder.build(nowhere, source, release, Listener())
    assert hidden(folder) == []


def test_a_build_that_is_told_to_stop_leaves_nothing(source, builder, folder):
    """Interrupted in the middle of a command."""
    release = builder.describe(SERVICE, source)
    with pytest.raises(Interrupted):
        builder.build(SERVICE, source, release, Listener(at="installing"))
    assert hidden(folder) == []
    assert builder.releases("toy") == ()


CONTROLLER = """
import sys
from pathlib import Path
from guarded_rollout.adapters.builds.builder import VenvBuilder
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.testing import examples
from dataclasses import replace
class Loud:
    def stopped(self): return False
    def say(self, text): print(text, flush=True)
service = replace(examples.service(), migrations=None)
builder = VenvBuilder(Path(sys.argv[1]), SystemClock())
source = Path(sys.argv[2])
builder.build(service, source, builder.describe(service, source), Loud())
"""


def test_a_controller_that_is_killed_leaves_a_build_that_the_next_one_finishes(
    source, builder, folder
):
    """kill -9 while the service's own build hangs: its processes end, the next build is whole."""
    hook = source / "hatch_build.py"
    hook.write_text(
        "import os, time\nfrom pathlib import Path\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        f"        if not Path('{folder}/pid').exists():\n"
        f"            Path('{folder}/new').write_text(str(os.getpid()))\n"
        f"            Path('{folder}/new').rename('{folder}/pid')\n"
        "            time.sleep(1000)\n"
    )
    with (source / "pyproject.toml").open("a") as file:
        file.write("[tool.hatch.build.targets.wheel.hooks.custom]\n")
    release = builder.describe(SERVICE, source)
    with subprocess.Popen(
        (sys.executable, "-c", CONTROLLER, folder / "state", source), stdout=subprocess.DEVNULL
    ) as controller:
        until((folder / "pid").exists)
        hanging = int((folder / "pid").read_text())
        assert keeper.started(hanging)
        assert builder.built(release) is None
        os.kill(controller.pid, signal.SIGKILL)
    built = builder.build(SERVICE, source, release, Listener())
    assert keeper.started(hanging) is None
    assert builder.intact(built.release) == ()
    assert hidden(folder) == []


def until(what, seconds=60.0):
    end = CLOCK.monotonic() + seconds
    while not what():
        assert CLOCK.monotonic() < end, f"not within {seconds} s"
        CLOCK.sleep(0.02)


def test_two_builds_of_one_release_do_not_meet(source, builder, folder, monkeypatch):
    """The second waits a little, then says who is at it."""
    monkeypatch.setattr(building, "TURN_SECONDS", 0.1)
    release = builder.describe(SERVICE, source)
    lock = folder / "state" / "releases" / "toy" / f".{release.name}.lock"
    with turn(lock, CLOCK, 1):
        with pytest.raises(Busy, match=f"builds or removes {release.name}"):
            builder.build(SERVICE, source, release, Listener())
        with pytest.raises(Busy):
            builder.remove(release)
    builder.build(SERVICE, source, release, Listener())


def test_the_remains_of_dead_builds_go_and_those_of_live_ones_stay(source, builder, folder):
    """Live is who holds the lock."""
    place = folder / "state" / "releases" / "toy"
    for name in (".building-9.9.9-dead-77", ".removing-8.8.8-dead-78", ".building-7.7.7-live-79"):
        (place / name / "sub").mkdir(parents=True)
        (place / name / "sub").chmod(0o500)
    release = builder.describe(SERVICE, source)
    with turn(place / ".7.7.7-live.lock", CLOCK, 1):
        builder.build(SERVICE, source, release, Listener())
        assert hidden(folder) == [".7.7.7-live.lock", ".building-7.7.7-live-79"]


def test_a_release_that_is_damaged_is_not_taken_for_whole_and_is_built_again(
    source, builder, folder
):
    """A power cut shortens files; somebody may edit them: the first is seen at once."""
    release = builder.describe(SERVICE, source)
    built = builder.build(SERVICE, source, release, Listener())
    (victim,) = built.folder.rglob("toy_service/__main__.py")
    content = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(content.replace(b"standard", b"sandyard"))
    victim.parent.chmod(0o755)
    (victim.parent / "new.py").touch()
    name = victim.relative_to(built.folder).as_posix()
    assert builder.built(release) == built
    assert builder.intact(release) == (name, name.replace("__main__", "new"))
    victim.write_bytes(content[:100])
    assert builder.built(release) is None
    again = builder.build(SERVICE, source, release, Listener())
    assert again == built
    assert builder.intact(release) == ()
    assert hidden(folder) == []


def test_removing_takes_a_release_away_and_nothing_else(source, builder, folder):
    """Read-only folders, too; twice is once; the other release stays."""
    old = builder.describe(SERVICE, source)
    builder.build(SERVICE, source, old, Listener())
    edited(source / "src/toy_service/__init__.py", "1.0.0", "1.1.0")
    new = builder.describe(SERVICE, source)
    kept = builder.build(SERVICE, source, new, Listener())
    assert builder.releases("toy") == (old, new)
    builder.remove(old)
    builder.remove(old)
    assert builder.releases("toy") == (new,)
    assert builder.built(new) == kept
    assert hidden(folder) == []
    with pytest.raises(NotPossible, match=f"holds no release {old.name}"):
        builder.intact(old)


def test_removing_where_nothing_was_built_makes_nothing(builder, folder):
    """Not even a folder."""
    builder.remove(examples.OLD)
    assert not (folder / "state").exists()


def test_no_secret_of_ours_reaches_the_build(source, builder, monkeypatch):
    """Build backends are other people's code."""
    monkeypatch.setenv("DB_PASSWORD", "correct horse")
    (source / "hatch_build.py").write_text(
        "import os\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        assert 'DB_PASSWORD' not in os.environ\n"
    )
    with (source / "pyproject.toml").open("a") as file:
        file.write("[tool.hatch.build.targets.wheel.hooks.custom]\n")
    builder.build(SERVICE, source, builder.describe(SERVICE, source), Listener())


def test_a_state_folder_that_cannot_be_written_is_a_problem_with_a_hint(source, folder):
    """No traceback."""
    (folder / "file").touch()
    builder = VenvBuilder(folder / "file", CLOCK)
    with pytest.raises(Broken, match=r"file.* cannot be used: Not a directory"):
        builder.build(SERVICE, source, builder.describe(SERVICE, source), Listener())
