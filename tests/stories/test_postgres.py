"""The same rollouts with the data in a real PostgreSQL."""

import json

import pytest
from bad_releases import FAILING_GATES
from load import Load
from postgres_of_ours import PASSWORD, USER, binaries
from site_of_ours import Site, since_start

pytestmark = pytest.mark.slow


@pytest.fixture
def on_postgres(postgres):
    """A site whose production is configured for PostgreSQL."""
    database = postgres.database()
    name = postgres.made[-1]
    with Site(watch="12s") as site:
        (site.root / "config").mkdir()
        conf = f"DB_HOST=127.0.0.1\nDB_PORT={postgres.port}\nDB_NAME={name}\nDB_USER={USER}\n"
        (site.root / "config" / "db_production.conf").write_text(conf)
        site.env |= {"PGPASSWORD": PASSWORD, "PG_BIN": str(binaries())}
        yield site, database


def test_a_deployment_on_postgresql_is_guarded_like_any_other(on_postgres, releases):
    """Promoted; a bad migration is refused, a failing release goes back; the drill proves."""
    site, database = on_postgres
    done = site.rollout("deploy", "--env", "production", "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(lambda facts: any(kind == "observed" for kind, _ in since_start(facts)))
    done = site.rollout("promote", "--env", "production", "--reason", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert database.revision() == "0002"
    with Load(site.port, threads=2):
        code, report = site.deploy(releases("bad-migration"))
        assert (code, report["phase"]) == (1, "refused"), report
        assert "no_such_table" in report["reason"]
        assert database.revision() == "0002"
        code, report = site.deploy(releases("failing"))
        assert code == 2, report
        assert any(gate in report["reason"] for gate in FAILING_GATES), report["reason"]
    assert site.serving() == "1.0.0"
    done = site.rollout("backup", "create", "--env", "production", "--json")
    assert done.returncode == 0, done.stderr
    for arguments in (("verify", "--restore"), ("drill",)):
        done = site.rollout("backup", *arguments, "--env", "production", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["restored"] is True
    for file in (site.root / ".rollout").rglob("*"):
        if file.is_file() and file.stat().st_size < 2**20:
            assert PASSWORD.encode() not in file.read_bytes(), f"{file} has the password"
