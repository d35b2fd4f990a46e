"""The `[journal]` section: a file, or a server, and never a password."""

import pytest

from guarded_rollout.adapters.configuration import SQLITE_JOURNAL, journal_address
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import DatabaseAddress

SERVER = DatabaseAddress("postgresql", host="db.example", port=5433, name="ops", user="rollout")


@pytest.fixture
def says(folder):
    """Adds the section to the small configuration."""

    def reads(*lines):
        text = (folder.path / "rollout.toml").read_text()
        folder.write("rollout.toml", "\n".join(["[journal]", *lines, text]))
        return folder

    return reads


def address(folder):
    return journal_address(folder.path / "rollout.toml", "rollout.toml")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], SQLITE_JOURNAL),
        (['path = "state/j.db"'], DatabaseAddress("sqlite", path="state/j.db")),
        (['url = "postgresql://rollout@db.example:5433/ops"'], SERVER),
        (['host = "db.example"', "port = 5433", 'name = "ops"', 'user = "rollout"'], SERVER),
        (
            ['host = "/run/pg"', 'name = "ops"', 'user = "rollout"'],
            DatabaseAddress("postgresql", host="/run/pg", port=5432, name="ops", user="rollout"),
        ),
        (
            ['url = "postgresql://r%C3%B6@[::1]/ops"'],
            DatabaseAddress("postgresql", host="::1", port=5432, name="ops", user="rö"),
        ),
    ],
)
def test_a_place_is_read(says, lines, found):
    """By itself, and the rest of the file stays sound."""
    folder = says(*lines)
    assert address(folder) == found
    assert folder.load().environment.name == "production"


def test_without_the_section_it_lies_where_it_always_lay(folder):
    """In the state folder."""
    assert address(folder) == SQLITE_JOURNAL
    assert SQLITE_JOURNAL.path == ".rollout/journal.db"


def test_other_sections_may_be_wrong(says):
    """A broken gate must not hide what runs."""
    folder = says('path = "j.db"')
    text = (folder.path / "rollout.toml").read_text()
    folder.write("rollout.toml", text.replace("[service]", "[survice]"))
    assert address(folder) == DatabaseAddress("sqlite", path="j.db")


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        (['url = "postgresql://u:hunter2@h/n"'], "url", "a password does not belong"),
        (['host = "h"', 'password = "hunter2"'], "password", "a password does not belong"),
        (['url = "mysql://u@h/n"'], "url", "is no address of a PostgreSQL server"),
        (['url = "postgresql://h/n"'], "url", "names no user"),
        (['url = "postgresql://u@h"'], "url", "names no name"),
        (['url = "postgresql://u@h/n?sslmode=require"'], "url", "e.g. PGSSLMODE"),
        (['url = "postgresql://u@h:port/n"'], "url", "is no URL"),
        (['url = "postgresql://u@h/n"', 'path = "j.db"'], "url", "stands beside path"),
        (['path = "j.db"', 'user = "u"'], "user", "stands beside path"),
        (['host = "h"', 'name = "n"'], "user", "is missing"),
        (['host = "h h"', 'name = "n"', 'user = "u"'], "host", "a host name"),
        (['path = "/abs/j.db"'], "path", "must stay below the folder"),
        (['pfad = "j.db"'], "pfad", "this key is not known"),
        (["port = 5432"], "host", "is missing"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(says, lines, key, words):
    """By whoever reads the section alone, and by whoever reads everything."""
    folder = says(*lines)
    number = next((n for n, line in enumerate(lines, 2) if line.startswith(key)), 1)
    with pytest.raises(BadInput) as caught:
        address(folder)
    said = str(caught.value)
    assert said.startswith(f"rollout.toml:{number}: journal.{key}: ")
    assert words in said
    assert "hunter2" not in said
    assert folder.problem() == said
