"""The schema before and after a run of Alembic: what a failed one left is looked at."""

from dataclasses import dataclass

from guarded_rollout.adapters.alembic.command import LINE_LENGTH
from guarded_rollout.core.problems import Problem
from guarded_rollout.ports import Database


@dataclass(frozen=True, slots=True)
class Sight:
    """The schema at one moment."""

    revision: str | None
    statements: tuple[str, ...]


def look(database: Database) -> Sight:
    """Look: the schema now."""
    return Sight(database.revision(), database.schema())


def since(before: Sight, database: Database) -> str:
    """What became of the schema since `before`, in words."""
    try:
        after = look(database)
    except Problem as problem:
        return f"THE SCHEMA IS UNKNOWN: it was revision {before.revision}; {problem.why.what}"
    if after == before:
        return f"the schema is what it was: revision {before.revision}"
    changed = sorted(set(before.statements) ^ set(after.statements))
    return (
        f"THE SCHEMA IS NOT WHAT IT WAS: revision {before.revision} before, "
        f"{after.revision} after; {len(changed)} statements differ"
        + "".join(f"\n  {' '.join(statement.split())[:LINE_LENGTH]}" for statement in changed)
    )
