"""CONTENT.json in a dump's folder: what the database held at the moment of the dump."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FILE = "CONTENT.json"


@dataclass(frozen=True, slots=True)
class Content:
    """`server`: its major version; another one may write values otherwise.

    `hashes`: only in dumps of earlier versions of this tool, see `content.fingerprint`.
    """

    server: int
    schema: tuple[str, ...]
    rows: Mapping[str, int]
    hashes: Mapping[str, str] = field(default_factory=dict)


def write(folder: Path, found: Content) -> None:
    """Into a dump's folder."""
    words = {"server": found.server, "schema": found.schema, "rows": dict(found.rows)}
    (folder / FILE).write_text(json.dumps(words), "utf-8")


def read(folder: Path) -> Content:
    """From a dump's folder. OSError or ValueError when it is missing or damaged."""
    try:
        words = json.loads((folder / FILE).read_bytes())
        server, schema = int(words["server"]), tuple(map(str, words["schema"]))
        if "tables" not in words:
            rows = {str(name): int(count) for name, count in words["rows"].items()}
            return Content(server, schema, rows)
        hashed = {str(name): (int(n), str(digest)) for name, (n, digest) in words["tables"].items()}
        return Content(
            server,
            schema,
            {name: count for name, (count, _) in hashed.items()},
            {name: digest for name, (_, digest) in hashed.items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{FILE} lacks {error}") from error
