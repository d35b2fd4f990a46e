"""A database that is worth backing up: half of it pgbench's, half of it dhash's."""

import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from alembic.migration import MigrationContext
from alembic.operations import Operations
from postgres_of_ours import USER, Server
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

MIGRATIONS = Path(__file__).parents[1] / "services/dhash/src/dhash/migrations/versions"
NAME = "bench"
BYTES_PER_SCALE = 15.7e6
BYTES_PER_IMAGE = 800.0

_ROWS = (
    # A picture's digest and its hash look random: so they do to a compressor.
    """INSERT INTO images (content_sha256, hash, stable_bits, source, page, created_at)
    SELECT sha, left(encode(sha256(sha::bytea), 'hex'), 16), n * 7 % 65,
        'upload-' || n % 9973 || '.jpg', nullif(n % 4, 0),
        to_char(timestamp '2026-01-01' + n * interval '7.3 s', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    FROM (SELECT n, encode(sha256(n::text::bytea), 'hex') AS sha
        FROM generate_series(1, :images) AS n) AS pictures""",
    """INSERT INTO bands (band_key, hash)
    SELECT band << 16 | ('x' || substr(hash, 13 - 4 * band, 4))::bit(16)::integer, hash
    FROM images, generate_series(0, 3) AS band""",
    """INSERT INTO reviews (pair, image_id, matched_image_id, distance, reason, status, created_at)
    SELECT least(a.hash, b.hash) || ':' || greatest(a.hash, b.hash), a.id, b.id, a.id % 11,
        'near the threshold', 'waiting', a.created_at
    FROM images AS a JOIN images AS b ON b.id = a.id - 1 WHERE a.id % 20 = 0""",
)


def fill(server: Server, env: Mapping[str, str], megabytes: float) -> dict[str, int]:
    """Make the database `bench`. Returns the rows per table."""
    server.run(f"CREATE DATABASE {NAME} OWNER {USER}")
    scale = max(1, round(megabytes / 2 * 1e6 / BYTES_PER_SCALE))
    subprocess.run(
        [server.tools / "pgbench", "-i", "-q", "-s", str(scale), NAME],
        check=True,
        capture_output=True,
        env=dict(env),
    )
    images = max(1, round(megabytes / 2 * 1e6 / BYTES_PER_IMAGE))
    engine = create_engine("postgresql+psycopg://", poolclass=NullPool, connect_args=_in(env))
    with engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            for revision in _revisions():
                revision.upgrade()
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('0002')"))
        for statement in _ROWS:
            connection.execute(
                text(statement), {"images": images} if ":images" in statement else {}
            )
    server.run("VACUUM (ANALYZE, FREEZE)", "CHECKPOINT", name=NAME)
    return rows(server)


def rows(server: Server, name: str = NAME) -> dict[str, int]:
    """Rows per table."""
    named = server.run(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " ORDER BY 1",
        name=name,
    )
    return {
        table: server.run(f'SELECT count(*) FROM public."{table}"', name=name)[0][0]
        for (table,) in named
    }


def size(server: Server) -> int:
    """Bytes on the server's disk, indexes too."""
    return int(server.run(f"SELECT pg_database_size('{NAME}')")[0][0])


def _in(env: Mapping[str, str]) -> dict[str, str]:
    words = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    return {"dbname": NAME, **{word: env[name] for word, name in words.items()}}


def _revisions() -> Iterator[ModuleType]:
    for file in sorted(MIGRATIONS.glob("[0-9]*.py")):
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
