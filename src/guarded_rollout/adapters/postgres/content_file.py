"""CONTENT.json in a dump's folder: what the database held at the moment of the dump."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.postgres import content
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.sessions import looking, stoppable
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Control, Table

FILE = "CONTENT.json"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Content:
    """`server`: its major version; another one may write values, and hash them, otherwise."""

    server: int
    schema: tuple[str, ...]
    tables: Mapping[str, Table]


def write(folder: Path, found: Content) -> None:
    """Into a dump's folder."""
    tables = {name: [table.rows, table.hash] for name, table in found.tables.items()}
    words = {"server": found.server, "schema": found.schema, "tables": tables}
    (folder / FILE).write_text(json.dumps(words), "utf-8")


def read(folder: Path) -> Content:
    """From a dump's folder. OSError or ValueError when it is missing or damaged."""
    try:
        words = json.loads((folder / FILE).read_bytes())
        tables = {
            str(name): Table(int(rows), str(digest))
            for name, (rows, digest) in words["tables"].items()
        }
        return Content(int(words["server"]), tuple(map(str, words["schema"])), tables)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{FILE} lacks {error}") from error


def compare(dump: Path, access: Access, wait_seconds: float, control: Control) -> None:
    """Whether a dump went in whole. Broken names every table that is otherwise."""
    try:
        said = read(dump)
    except (OSError, ValueError) as error:
        raise Broken(
            f"{dump} is not a whole dump: {error}", "do not restore it; use another backup"
        ) from error
    with looking(access, wait_seconds) as connection, stoppable(connection, control, access):
        same = content.server(connection)[1] == said.server
        if same:
            found = content.fingerprint(connection, lambda: None)
        else:
            found = {name: Table(rows, "") for name, rows in content.rows(connection).items()}
        schema = content.schema(connection)
    odd = _differences(said, found, hashed=same)
    if same and set(schema) != set(said.schema):
        words = sorted(set(schema) ^ set(said.schema))[:_SHOWN]
        odd.append("its schema is another one: " + "; ".join(words))
    if odd:
        raise Broken(
            f"{dump} did not go in as it was: {'; '.join(odd)}",
            "do not restore it; use another backup, and check the disk",
        )


def _differences(said: Content, found: Mapping[str, Table], *, hashed: bool) -> list[str]:
    odd = []
    for name in sorted({*said.tables, *found}):
        was, now = said.tables.get(name), found.get(name)
        if was is None or now is None:
            odd.append(f"table {name} is {'missing' if now is None else 'not expected'}")
        elif was.rows != now.rows:
            odd.append(f"table {name} has {now.rows} rows, not {was.rows}")
        elif hashed and was.hash != now.hash:
            odd.append(f"table {name} has {was.rows} rows, but other contents")
    return odd
