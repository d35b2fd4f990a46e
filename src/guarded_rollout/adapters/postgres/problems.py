"""What PostgreSQL and its tools say, as problems with a hint. By SQLSTATE where there is one."""

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.core.problems import BadInput, Broken, Busy, Problem

NO_DATABASE = "3D000"
_AWAY = "see that the server runs and that its address in config/db_<env>.conf is right"
_LINES = 4
_LENGTH = 300

# What libpq says when a connection fails, which has no SQLSTATE: its text, and the state it means.
_CONNECTING = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("authentication failed", "28000"),
    ("FATAL:  role ", "28000"),
    ("permission denied for database", "42501"),
    ("permission denied", "42501"),
    ("must be owner", "42501"),
    ("must be member of role", "42501"),
    ("must be able to SET ROLE", "42501"),
    ("too many clients", "53300"),
    ("remaining connection slots", "53300"),
    ("too many connections", "53300"),
    ("the database system is", "57P03"),
    ("canceling statement due to lock timeout", "55P03"),
    ("could not obtain lock", "55P03"),
    ("No space left on device", "53100"),
    ("unsupported version", "dump version"),
)


def state(text: str, code: str | None = None) -> str | None:
    """The SQLSTATE, guessed from an English text where the server gave none."""
    if code is not None:
        return code
    if 'database "' in text and "does not exist" in text:
        return NO_DATABASE
    return next((means for words, means in _CONNECTING if words in text), None)


def problem(  # noqa: C901, PLR0911 - a table: a state, a sentence
    text: str, code: str | None, access: Access, doing: str
) -> Problem:
    """A sentence: what was done (`doing`), on which database, why it failed; and what to do."""
    shown = _shown(text)
    what = f"{doing} {access} failed: {shown}"
    match state(text, code) or "":
        case "28P01":
            return BadInput(
                f"{access} refuses the password of {access.user}: {shown}",
                "set PGPASSWORD, PGPASSWORD_FILE, or a line in ~/.pgpass (mode 0600)",
            )
        case "28000":
            return BadInput(
                f"{access} does not let {access.user} in: {shown}",
                "check DB_USER in config/db_<env>.conf and the server's pg_hba.conf",
            )
        case "3D000":
            return BadInput(
                f"there is no database {access}", "check DB_NAME in config/db_<env>.conf"
            )
        case "42501":
            return BadInput(
                f"{access.user} has not the rights: {what}", "let its owner grant them, then retry"
            )
        case "55P03" | "57014":
            return Busy(
                f"{access} is locked: {shown}",
                "see who holds it: SELECT * FROM pg_stat_activity; end it or wait, then try again",
            )
        case "40001" | "40P01":
            return Busy(f"others write to {access}: {shown}", "try again")
        case "53300" | "57P03":
            return Busy(f"{access} takes no connection now: {shown}", "wait, then try again")
        case "53100":
            return Broken(what, "make room on the disk that is full")
        case "dump version":
            return BadInput(
                f"the dump is of a newer PostgreSQL than these tools: {shown}",
                "set PG_BIN to the folder of newer pg_dump and pg_restore",
            )
        case "":
            return Broken(what, _AWAY)
        case other:
            away = other.startswith(("08", "57P"))
            return Broken(what, _AWAY if away else f"the server says SQLSTATE {other}; its log too")


def _shown(text: str) -> str:
    lines = [line.strip()[:_LENGTH] for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-_LINES:]) or "it said nothing"
