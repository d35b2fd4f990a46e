"""Each kind of migration: the ways back that are predicted are the ways back that there are.

The rehearsal is the command line's, with its guard and its journal. Then every combination is
started on the site's own database and asked for everything that users ask it for; `Recipe.ways`
is what people expect, and neither the rehearsal nor the reality may differ from it. The database
is then put back by the backup's dump, so that the next release finds what this one found.
"""

from dataclasses import dataclass

import pytest
from notebook_site import Look, Notebook, works
from schema_releases import DOWN, FLIP, RECIPES, RESTORE
from site_of_ours import ENVIRONMENT

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.core.problems import Problem
from guarded_rollout.ports import Built
from guarded_rollout.testing.control import Told

pytestmark = pytest.mark.slow

KINDS = [name for name, made in RECIPES.items() if made.ways and made.up and not made.fails]
KNOWN = "kept"


@pytest.fixture(scope="class")
def site(request, builds):
    """The first release serves, with some rows, on the class's kind of database."""
    server = request.getfixturevalue("postgres_server") if request.cls.on_postgres else None
    with pytest.MonkeyPatch.context() as patch, Notebook(builds, server, watch="10m") as ours:
        for name in ("PGPASSWORD", "PG_BIN"):
            patch.setenv(name, ours.env.get(name, ""))
        ours.first()
        rows = (f"('{KNOWN}-{n}', 'a \\ don''t lose me', {n})" for n in range(20))
        ours.run(f"INSERT INTO entries VALUES {', '.join(rows)}, ('{KNOWN}', 'a note', 7)")
        yield ours
    if server is not None:
        server.drop_made()


@dataclass(frozen=True)
class Database:
    """The site's database in the hands of a test: up, down, and back from a backup."""

    site: Notebook
    new: Built

    def up(self) -> None:
        """As the migrate step does."""
        self._move("up")

    def down(self) -> str:
        """As the unmigrate step does. Empty: it went; else why not."""
        try:
            self._move("down", "0001")
        except Problem as problem:
            return problem.why.what
        return ""

    def back(self, backup: str) -> None:
        """As the restore step does."""
        ports = self.site.ports()
        with ports.archive.unpacked(ports.root / backup, ENVIRONMENT, ports.database) as found:
            ports.database.restore(found.dump, Told())

    def _move(self, verb: str, *to: str) -> None:
        migrations = load_spec(self.site.root, ENVIRONMENT).service.migrations
        ports = self.site.ports()
        getattr(ports.migrator, verb)(self.new, migrations, *to, Told())


def same_rows(before: Look, written: set[str], now: Look) -> bool:
    """Every row of before is as it was, and every row that was written since is there."""
    if now.entries is None or before.entries is None:
        return False
    as_it_was = all(now.entries.get(ref) == row for ref, row in before.entries.items())
    return as_it_was and written <= now.entries.keys()


class Matrix:
    """All kinds of migration on one kind of database."""

    on_postgres = False

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_predicted_is_what_happens(self, site, kind):
        """Predicted, with the reasons, in report and journal; then done, and found to be so."""
        recipe = RECIPES[kind]
        new = site.builds.put(kind, site.root)
        before = site.look()
        said, lines = self.rehearse(site, kind)
        assert site.look() == before
        assert site.scratches() == []
        assert said["ways"] == list(recipe.ways), said["because"]
        assert set(said["because"]) == {FLIP, DOWN, RESTORE} - set(recipe.ways)
        for way, why in recipe.because:
            assert why in said["because"][way]
        refused = FLIP not in recipe.ways
        assert (lines["exit_code"], lines["phase"]) == ((1, "refused") if refused else (0, "done"))
        assert ("--forward-only" in lines["reason"]) is refused
        database = Database(site, new)
        try:
            self.really(site, database, before, kind)
        finally:
            database.back(site.outcome("backup")["file"])
        assert site.look() == before
        assert works(site.port, KNOWN) == ""
        site.run("DELETE FROM entries WHERE ref LIKE 'user-%'", "DELETE FROM visits")

    def rehearse(self, site, kind):
        """(what the rehearsal has proven, the report)."""
        source = site.builds.source(kind)
        code = 0 if FLIP in RECIPES[kind].ways else 1
        report = site.told("rehearse", "--source", source, code=code)
        (said,) = [step["outcome"] for step in report["steps"] if step["step"] == "rehearse"]
        assert said == site.outcome("rehearse"), "the journal says the same"
        return said, report

    def really(self, site, database, before, kind):
        """Start each combination, then go down."""
        recipe = RECIPES[kind]
        database.up()
        serving = works(site.port, KNOWN)
        with site.running(site.builds.put("first", site.root)) as socket:
            started = works(socket, KNOWN)
        with site.running(database.new) as socket:
            assert works(socket, KNOWN) == "", "the new release on its own schema"
        assert (serving == "", started == "") == (recipe.flips, recipe.flips), (serving, started)
        written = {ref for ref in site.refs() if ref.startswith("user-")}
        why_not = database.down()
        now = site.look()
        came_down = not why_not and now.schema == before.schema
        assert (came_down and same_rows(before, written, now)) is (DOWN in recipe.ways), why_not
        if came_down:
            assert works(site.port, KNOWN) == ""

    def test_a_release_without_a_migration_flips(self, site):
        """The backup is proven all the same."""
        said, _ = self.rehearse(site, "same")
        assert (said["pending"], said["ways"]) == (False, [FLIP, RESTORE])
        assert said["restored"]["tables"] == 2

    def test_a_migration_that_cannot_run_is_found_before_production(self, site):
        """Whatever is given up."""
        before = site.look()
        source = site.builds.source("required-at-once")
        site.builds.put("required-at-once", site.root)
        words = ("rehearse", "--source", source, "--forward-only", "all of it")
        report = site.told(*words, code=1)
        assert report["phase"] == "refused"
        assert "owner" in report["reason"]
        assert site.look() == before
        assert site.scratches() == []


class TestOnSqlite(Matrix):
    """SQLite."""


class TestOnPostgres(Matrix):
    """A real PostgreSQL."""

    on_postgres = True
