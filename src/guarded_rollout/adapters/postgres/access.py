"""Where a PostgreSQL database is, and how to get in. The password stays in the environment.

It is looked for where libpq looks (PGPASSWORD, PGPASSFILE, ~/.pgpass), and in the file that
PGPASSWORD_FILE names, as container platforms mount it. It is read each time, kept nowhere.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import DatabaseAddress

CONNECT_SECONDS = 5
PORT = 5432
PASSWORD_FILE = "PGPASSWORD_FILE"  # noqa: S105 - a variable's name
_PASSED_ON = (
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
)
_TOOLS = ("HOME", "PATH", "TMPDIR", "TZ")


@dataclass(frozen=True, slots=True)
class Access:
    """One database on one server. `host`: a name, an address, or the folder of a unix socket."""

    host: str
    port: int
    name: str
    user: str

    @classmethod
    def of(cls, address: DatabaseAddress) -> "Access":
        """What the configuration names; a `postgresql` address has all of it."""
        host, name, user = address.host, address.name, address.user
        assert host is not None, "the configuration asks for it"
        assert name is not None, "the configuration asks for it"
        assert user is not None, "the configuration asks for it"
        return cls(host, address.port or PORT, name, user)

    def __str__(self) -> str:
        return f"{self.name} on {self.host}:{self.port}"

    def url(self) -> str:
        """As SQLAlchemy writes it, for psycopg 3."""
        user, name = quote(self.user, safe=""), quote(self.name, safe="")
        if self.host.startswith("/"):
            where = f"/{name}?host={quote(self.host, safe='')}&port={self.port}"
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            where = f"{host}:{self.port}/{name}"
        return f"postgresql://{user}@{where}"

    def named(self, name: str) -> "Access":
        """Another database of the same server."""
        return replace(self, name=name)

    def environment(self) -> Mapping[str, str]:
        """What libpq must find in a child's environment beside the address."""
        found = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
        if "PGPASSWORD" not in found:
            password = password_in_file(PASSWORD_FILE)
            if password is not None:
                found["PGPASSWORD"] = password
        beside = Path(os.environ.get("HOME") or "/nonexistent") / ".pgpass"
        if not {"PGPASSWORD", "PGPASSFILE"} & set(found) and beside.is_file():
            found["PGPASSFILE"] = str(beside)  # a replica has no HOME
        return found

    def tool_environment(self) -> Mapping[str, str]:
        """The whole environment of pg_dump and pg_restore. Their messages are read: English."""
        passed = {name: os.environ[name] for name in _TOOLS if name in os.environ}
        return {
            **passed,
            **self.environment(),
            "LC_ALL": "C.UTF-8",
            "PGAPPNAME": "guarded-rollout",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGDATABASE": self.name,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
        }


def password_in_file(variable: str) -> str | None:
    """The first line of the file that a variable names. BadInput when it cannot be read."""
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        return Path(named).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadInput(
            f"the password file {named} that {variable} names cannot be read: {reason}",
            "make it readable for this user only, or use PGPASSWORD or ~/.pgpass",
        ) from error
