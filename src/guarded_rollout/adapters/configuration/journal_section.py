"""The `[journal]` section of rollout.toml: where the journal lies. It can be read by itself.

Passwords are refused: they come from the environment, a file, or ~/.pgpass.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from guarded_rollout.adapters.configuration.conf_settings import POSTGRESQL_PORT, shaped
from guarded_rollout.adapters.configuration.located import Value, given
from guarded_rollout.adapters.configuration.toml_file import read_toml
from guarded_rollout.core.spec import DatabaseAddress

SQLITE_JOURNAL = DatabaseAddress("sqlite", path=".rollout/journal.db")
_SERVER = ("host", "port", "name", "user")
KEYS = ("path", "url", *_SERVER)
_SCHEMES = ("postgresql", "postgres")
_PASSWORDS = (
    "take it out, change that password, and put it into ROLLOUT_JOURNAL_PASSWORD, a file named by "
    "ROLLOUT_JOURNAL_PASSWORD_FILE, or ~/.pgpass"
)


def journal_address(path: Path, shown: str) -> DatabaseAddress:
    """Where the file at `path` says the journal lies; `shown`: its name for people.

    Only this section is looked at. BadInput names file, line and key.
    """
    sections = read_toml(path, shown).any_table()
    return given(sections.get("journal"), read_journal, SQLITE_JOURNAL)


def read_journal(section: Value) -> DatabaseAddress:
    """A file of this machine, or a PostgreSQL server as a URL or key by key."""
    for key, value in section.any_table().items():
        if key in {"password", "passfile", "dsn"}:
            raise value.problem("a password does not belong into rollout.toml", _PASSWORDS)
    found = section.table(optional=KEYS)
    kinds = [key for key in ("path", "url", "host") if key in found]
    if len(kinds) > 1:
        raise found[kinds[1]].problem(
            f"stands beside {kinds[0]}", "keep one of them: a journal lies in one place"
        )
    if "url" in found:
        _alone(found, "url")
        return _of_url(found["url"])
    if "path" in found:
        _alone(found, "path")
        return DatabaseAddress("sqlite", path=found["path"].relative_path())
    if not found:
        return SQLITE_JOURNAL
    section.table(required=("host", "name", "user"), optional=("port",))
    return DatabaseAddress(
        "postgresql",
        host=shaped(found["host"], "HOST"),
        port=given(found.get("port"), lambda at: at.whole(1, 65535, "(a port)"), POSTGRESQL_PORT),
        name=shaped(found["name"], "NAME"),
        user=shaped(found["user"], "USER"),
    )


def _alone(found: dict[str, Value], key: str) -> None:
    for other in _SERVER:
        if other in found:
            raise found[other].problem(f"stands beside {key}", f"take it out, or take {key} out")


def _of_url(value: Value) -> DatabaseAddress:
    """`postgresql://USER@HOST:PORT/NAME`; a unix socket's folder goes key by key."""
    try:
        url = urlsplit(value.text())
        port = url.port or POSTGRESQL_PORT
    except ValueError:
        raise value.problem("is no URL", _write()) from None
    if url.password is not None:
        raise value.problem("a password does not belong into rollout.toml", _PASSWORDS)
    if url.scheme not in _SCHEMES:
        raise value.problem("is no address of a PostgreSQL server", _write())
    if url.query or url.fragment:
        raise value.problem(
            "options are not read from the URL", "set them as libpq's variables, e.g. PGSSLMODE"
        )
    parts = {
        "HOST": url.hostname or "",
        "NAME": unquote(url.path.removeprefix("/")),
        "USER": unquote(url.username or ""),
    }
    for part, text in parts.items():
        if not text:
            raise value.problem(f"names no {part.lower()}", _write())
        shaped(Value(value.place, text), part)
    return DatabaseAddress(
        "postgresql", host=parts["HOST"], port=port, name=parts["NAME"], user=parts["USER"]
    )


def _write() -> str:
    return 'write "postgresql://USER@HOST:5432/NAME"'
