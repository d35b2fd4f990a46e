"""What PostgreSQL says of the journal, as problems. By SQLSTATE where there is one.

Never Busy: that is for leases and rollouts, and a controller that is told Busy stops. What passes
by itself, or once somebody mends the server, is Away.
"""

import psycopg

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.problems import state
from guarded_rollout.core.problems import BadInput, Broken, Problem
from guarded_rollout.ports import Away

# Locks and timeouts, conflicts, connections, resources, a stop, a standby, a failing disk.
_PASSES = ("55P03", "57014", "40", "08", "53", "57P", "25006", "58")
_CONFIGURED = "[journal] of rollout.toml"


class NoTables(Broken):
    """There is no journal yet."""


class Crossed(Broken):
    """Somebody else wrote at the same time, and first."""


class Exists(Broken):
    """Somebody else made the tables at the same time."""


def problem(  # noqa: PLR0911 - a table: a state, a sentence
    error: psycopg.Error, access: Access
) -> Problem:
    """What happened on which server, and what to do."""
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    code = state(str(error), error.sqlstate) or ""
    match code:
        case "28P01":
            return BadInput(
                f"the journal {access} refuses the password of {access.user}: {text}",
                "set ROLLOUT_JOURNAL_PASSWORD, ROLLOUT_JOURNAL_PASSWORD_FILE, PGPASSWORD, or a "
                "line in ~/.pgpass (mode 0600)",
            )
        case "28000" | "42501":
            return BadInput(
                f"the journal {access} does not let {access.user} do that: {text}",
                f"check user in {_CONFIGURED}, the server's pg_hba.conf, and that this user may "
                "create a schema, or owns guarded_rollout",
            )
        case "3D000":
            return BadInput(
                f"there is no database {access} for the journal",
                f"create it, or check name in {_CONFIGURED}",
            )
        case "42P01" | "3F000":
            return NoTables(
                f"there is no journal on {access}", f"is it the right one? see {_CONFIGURED}"
            )
        case "42P07" | "42723" | "42710":
            return Exists(f"the journal on {access} has just been made", "do the same again")
        case "23505":
            return Crossed(f"others write to the journal {access}: {text}", "do the same again")
    if not code or code.startswith(_PASSES):
        return Away(
            f"the journal {access} does not answer: {text}",
            f"see that the server runs, and that {_CONFIGURED} is right; what serves goes on "
            "serving, and a rollout goes on when the journal is back",
        )
    return Broken(
        f"the journal {access} failed: {text} (SQLSTATE {code})",
        "see what the server's log says, then: rollout audit verify",
    )
