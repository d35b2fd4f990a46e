"""The journal's tables in a PostgreSQL database, in a schema of their own, and their triggers."""

from guarded_rollout.adapters.journal.schema import tables
from guarded_rollout.core.chain import GENESIS

SCHEMA = "guarded_rollout"

_ONLY_GROWS = "the journal only grows"


def _refusing(table: str, events: str, why: str) -> str:
    return f"""CREATE TRIGGER {table}_never_go BEFORE {events} ON {table} FOR EACH STATEMENT
        EXECUTE FUNCTION refuse('{why}')"""


def _checking(table: str, event: str, wrong: str, why: str, code: str = "23000") -> tuple[str, str]:
    return (
        f"""CREATE FUNCTION check_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {wrong} THEN RAISE EXCEPTION '{why}' USING ERRCODE = '{code}'; END IF;
            RETURN new;
        END $$""",
        f"""CREATE TRIGGER {table}_are_checked BEFORE {event} ON {table} FOR EACH ROW
        EXECUTE FUNCTION check_{table}()""",
    )


_STATEMENTS = (
    # Many may open the first journal at once. The lock ends with the transaction.
    f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}'))",
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"SELECT set_config('search_path', '{SCHEMA}', true)",
    *tables("bigint", "double precision", "bytea"),
    """CREATE FUNCTION now_seconds() RETURNS double precision LANGUAGE sql VOLATILE AS
        $$ SELECT extract(epoch FROM clock_timestamp())::double precision $$""",
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '%', tg_argv[0] USING ERRCODE = '23000'; END $$""",
    _refusing("facts", "UPDATE OR DELETE OR TRUNCATE", f"{_ONLY_GROWS}: facts stay as they are"),
    _refusing("rollouts", "DELETE OR TRUNCATE", f"{_ONLY_GROWS}: rollouts never go"),
    _refusing("leases", "DELETE OR TRUNCATE", "a fence never goes"),
    *_checking(
        "facts",
        "INSERT",
        f"""new.seq IS DISTINCT FROM (SELECT coalesce(max(seq), 0) + 1 FROM {SCHEMA}.facts)
            OR new.prev IS DISTINCT FROM coalesce(
                (SELECT hash FROM {SCHEMA}.facts ORDER BY seq DESC LIMIT 1), '{GENESIS}')""",  # noqa: S608 - constants
        f"{_ONLY_GROWS}: a fact follows the last one",
        "23505",  # who wrote at the same time was quicker
    ),
    *_checking(
        "rollouts",
        "UPDATE",
        """old.ended IS NOT NULL OR new.ended IS NULL
            OR (old.id, old.environment, old.kind, old.began, old.exclusive)
            IS DISTINCT FROM (new.id, new.environment, new.kind, new.began, new.exclusive)""",
        f"{_ONLY_GROWS}: a rollout ends once",
    ),
    *_checking("leases", "UPDATE", "new.fence < old.fence", "a fence never falls"),
)

CREATE = ";\n".join(_STATEMENTS)
"""All or none, in one message: nobody holds the lock while it waits for the network."""
