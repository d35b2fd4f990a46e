"""Somebody writes all the time; whatever way is gone back, no acknowledged write is missing.

The ledger is outside the system: it counts what users were promised. Every story begins and ends
with the first release serving on its own schema.
"""

import json
import re
from pathlib import Path

import pytest
from bad_releases import FAILING_GATES
from ledger import Ledger
from notebook_site import Notebook
from schema_releases import RECIPES
from site_of_ours import ENVIRONMENT, since_start

from guarded_rollout.testing.control import Told

pytestmark = pytest.mark.slow

OLD = RECIPES["first"].version
BACK = ("rollback", "--reason", "a story", "--force")


@pytest.fixture(scope="class")
def site(request, builds):
    """The first release serves on the class's kind of database."""
    server = request.getfixturevalue("postgres_server") if request.cls.on_postgres else None
    with pytest.MonkeyPatch.context() as patch, Notebook(builds, server, watch="20s") as ours:
        for name in ("PGPASSWORD", "PG_BIN"):
            patch.setenv(name, ours.env.get(name, ""))
        ours.first()
        yield ours
    if server is not None:
        server.drop_made()


@pytest.fixture
def ledger(site, request):
    """It has some entries before anything happens."""
    with Ledger(site.port, request.node.name) as ours:
        ours.more(OLD)
        yield ours


def nothing_is_missing(site, ledger):
    """Each acknowledged entry is there, with its one visit; nothing is there that nobody sent."""
    ledger.stop()
    there = site.refs()
    missing = ledger.acknowledged.keys() - there
    assert not missing, sorted(missing)[:5]
    mine = {ref for ref in there if ref.startswith(ledger.name)}
    assert mine <= ledger.acknowledged.keys() | ledger.unanswered
    visits = [ref for (ref,) in site.query("SELECT ref FROM visits")]
    assert sorted(ref for ref in visits if ref in mine) == sorted(mine)


def steps(site):
    """The steps that the newest rollout has done."""
    return [body["step"] for kind, body in since_start(site.facts()) if kind == "step-done"]


def set_aside(site):
    """(the file, the rows that were added: per table the values)."""
    outcome = site.outcome("set-aside")
    lines = (site.root / outcome["file"]).read_text().splitlines()[1:]
    changes = [json.loads(line) for line in lines]
    # The notebook only adds rows; a release that renames a column has filled it in every row.
    filled = [change for change in changes if change["before"] is not None]
    assert all(change["before"] == change["now"] and change["beside"] for change in filled)
    added = {}
    for change in changes:
        if change["before"] is None:
            added.setdefault(change["table"], []).append(change["now"])
    rows = {table: dict(counts) for table, counts in outcome["rows"].items()}
    assert sum(counts.pop("changed", 0) for counts in rows.values()) == len(filled)
    assert rows == {table: {"added": len(some)} for table, some in added.items()}
    return outcome["file"], added


class Stories:
    """Each way back on one kind of database."""

    on_postgres = False

    def test_a_bad_release_goes_back_by_itself(self, site, ledger):
        """Its migration stays, traffic goes back."""
        site.builds.put("failing", site.root)
        source = site.builds.source("failing")
        report = site.told("deploy", "--source", source, code=2)
        assert any(gate in report["reason"] for gate in FAILING_GATES), report["reason"]
        assert "return" in steps(site)
        assert "unmigrate" not in steps(site)
        ledger.more(OLD)
        assert ledger.count(RECIPES["failing"].version)
        nothing_is_missing(site, ledger)
        assert site.ports().database.revision() == "0002"
        site.down("failing")

    def test_a_person_takes_a_good_release_back(self, site, ledger):
        """A flip of traffic: not even a refused write."""
        site.promoted("expand")
        ledger.more(RECIPES["expand"].version)
        site.told(*BACK)
        ledger.more(OLD)
        nothing_is_missing(site, ledger)
        assert ledger.refused == {}
        assert site.ports().database.revision() == "0002"
        site.down("expand")

    def test_the_schema_goes_down_too(self, site, ledger):
        """Traffic goes first: the old release lives with both."""
        schema = site.look().schema
        site.promoted("expand")
        ledger.more(RECIPES["expand"].version)
        site.told(*BACK, "--schema-down")
        done = steps(site)
        assert done.index("return") < done.index("unmigrate")
        ledger.more(OLD)
        nothing_is_missing(site, ledger)
        assert site.look().schema == schema

    def test_the_schema_goes_down_first_where_the_old_release_needs_it(self, site, ledger):
        """Refused, allowed by a person, and taken back: what was acknowledged is there."""
        schema = site.look().schema
        source = site.builds.source("rename")
        site.builds.put("rename", site.root)
        refused = site.told("deploy", "--source", source, code=1)
        assert "--forward-only" in refused["reason"]
        site.promoted("rename", "--forward-only", "a story")
        ledger.more(RECIPES["rename"].version)
        site.told(*BACK)
        done = steps(site)
        assert done.index("unmigrate") < done.index("return")
        ledger.more(OLD)
        nothing_is_missing(site, ledger)
        assert site.look().schema == schema

    def test_a_backup_takes_the_databases_place(self, site, ledger):
        """Exactly the announced rows are set aside; reapplied, all that was promised is there."""
        new = RECIPES["add-column"].version
        site.promoted("add-column")
        ledger.more(new)
        told = site.told("rollback", "--restore-data", "--dry-run")["lost"]
        assert told["entries"]["added"] >= 20
        assert told.keys() == {"entries", "visits"}
        site.told(*BACK, "--restore-data")
        ledger.more(OLD)
        ledger.stop()
        assert steps(site)[:3] == ["close", "set-aside", "restore"]
        assert site.ports().database.revision() == "0001"
        file, added = set_aside(site)
        assert len(added["entries"]) == len(added["visits"])
        assert len(added["entries"]) >= told["entries"]["added"]
        self.only_what_was_set_aside_is_missing(site, ledger, added)
        self.reapplied(site, file, added)
        missing = ledger.acknowledged.keys() - site.refs()
        assert not missing, sorted(missing)[:5]

    @staticmethod
    def reapplied(site, file, added):
        """The entries that were left out; each conflict is named, and there are no others.

        A restore lowers no counter, so the number of a visit is nobody else's by now.
        """
        visits = {int(row["id"]): row["ref"].removeprefix("'") for row in added["visits"]}
        has = dict(site.query("SELECT id, ref FROM visits"))
        taken = {number for number in visits if has.get(number, visits[number]) != visits[number]}
        done = site.rollout(
            "backup", "reapply", file, "--env", ENVIRONMENT, "--what-fits", "--json"
        )
        told = json.loads(done.stdout)
        conflicts = [re.match(r"(\w+) \('?([^)]+)\)", text).groups() for text in told["conflicts"]]
        assert done.returncode == (3 if conflicts else 0), done.stderr
        assert not taken
        assert not [key for table, key in conflicts if table == "visits"]
        left_out = {key for table, key in conflicts if table == "entries"}
        assert told["added"] == len(added["entries"]) + len(visits) - len(conflicts)
        has = dict(site.query("SELECT id, ref FROM visits"))
        assert all(has[number] == ref for number, ref in visits.items())
        return left_out

    @staticmethod
    def in_the_snapshot(site):
        """The entries of the safety snapshot, which holds everything; it is no ordinary backup."""
        ports, file = site.ports(), site.outcome("set-aside")["snapshot"]
        assert not Path(file).match("backups/notebook_*.zip")
        with ports.archive.unpacked(ports.root / file, ENVIRONMENT, ports.database) as found:
            scratch = ports.database.scratch("count")
            try:
                scratch.fill(found.dump, Told())
                with scratch.records("entries", ("ref", "remark"), Told()) as records:
                    values = [record.values for record in records]
            finally:
                scratch.discard()
        text = {row["ref"].removeprefix("'"): row["remark"].removeprefix("'") for row in values}
        assert all(note == f"written as {ref}" for ref, note in text.items() if "smoke" not in ref)
        return text.keys()

    @staticmethod
    def only_what_was_set_aside_is_missing(site, ledger, added):
        """The ledger minus what is there is what the file has, to the row.

        SQLite's texts begin with a quote there: its columns do not say what a value is.
        """
        aside = {row["ref"].removeprefix("'") for row in added["entries"]}
        mine = {ref for ref in aside if not ref.startswith("smoke-")}
        gone = ledger.acknowledged.keys() - site.refs()
        assert mine & ledger.acknowledged.keys() == gone
        assert mine - gone <= ledger.unanswered
        assert {row["ref"].removeprefix("'") for row in added["visits"]} == aside

    def test_where_there_is_no_other_way_a_live_rollout_is_put_back_by_its_backup(
        self, site, ledger
    ):
        """A rollback without the flag is refused; with it the rows lie in file and snapshot."""
        new = RECIPES["irreversible-rename"].version
        site.begin("irreversible-rename", "--forward-only", "a story")
        ledger.more(new)
        refused = site.rollout(*BACK, "--env", ENVIRONMENT)
        assert refused.returncode == 1, refused.stdout
        assert "--restore-data" in refused.stderr
        assert site.status()["active"]["phase"] in {"watching", "holding"}
        site.told(*BACK, "--restore-data")
        ledger.more(OLD)
        ledger.stop()
        assert site.ports().database.revision() == "0001"
        file, added = set_aside(site)
        self.only_what_was_set_aside_is_missing(site, ledger, added)
        left_out = self.reapplied(site, file, added)
        assert len(left_out) == len(added["entries"]), "their note has no column any more"
        assert ledger.acknowledged.keys() - site.refs() <= self.in_the_snapshot(site)


class TestOnSqlite(Stories):
    """SQLite."""

    def test_a_damaged_database_is_replaced_when_a_person_gives_its_rows_up(self, site, ledger):
        """Refused by name without that; with it the file is kept, byte for byte."""
        site.promoted("add-column")
        ledger.more(RECIPES["add-column"].version)
        ledger.stop()
        begun = len(site.facts())
        file = site.root / "data" / "production" / "notebook.db"
        site.query("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as damaged:
            damaged.write(b"\0" * 512)
        content = file.read_bytes()
        refused = site.rollout(*BACK, "--restore-data", "--env", ENVIRONMENT)
        assert refused.returncode == 1, refused.stdout
        assert "is not a sound SQLite database" in refused.stderr
        assert "--env production --restore-data --give-up-rows WHY" in refused.stderr
        assert len(site.facts()) == begun
        words = (*BACK, "--restore-data", "--give-up-rows", "the disk died")
        assert site.told(*words, "--dry-run")["plan"]["give_up_rows"] == "the disk died"
        assert len(site.facts()) == begun
        site.told(*words)
        assert steps(site)[:3] == ["close", "set-aside", "restore"]
        outcome = site.outcome("set-aside")
        kept = Path(outcome["kept"])
        assert outcome["given_up"] == "the disk died"
        assert kept.parent == site.root / "backups"
        assert (kept / file.name).read_bytes() == content
        assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}
        assert site.ports().database.revision() == "0001"
        assert site.serving() == OLD
        with Ledger(site.port, "afterwards") as after:
            after.more(OLD)
            nothing_is_missing(site, after)


class TestOnPostgres(Stories):
    """A real PostgreSQL."""

    on_postgres = True
