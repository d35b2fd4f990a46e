"""The source of a small real service, the notebook, as text: what all of its releases share.

Entries have a name that their writer chose (`ref`), visits have a number that the database gives.
Every answer that tells of a write is sent after its commit.
"""

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "notebook"
dynamic = ["version"]
description = "Entries in a database; for tests."
requires-python = ">=3.11"
dependencies = ["alembic>=1.16", "psycopg[binary]>=3.2", "sqlalchemy>=2.0.40"]

[tool.hatch.version]
path = "src/notebook/__init__.py"

[tool.hatch.build.targets.wheel]
packages = ["src/notebook"]
"""

INIT = '''"""Entries in a database; for tests."""

__version__ = "{version}"
'''

ALEMBIC_INI = """\
[alembic]
script_location = notebook:migrations
path_separator = os
"""

ENV = '''"""One transaction for all of it."""

import os

from alembic import context
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

url = os.environ["NOTEBOOK_DATABASE_URL"]
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url, poolclass=NullPool)
    if url.startswith("sqlite"):
        event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(engine, "begin", lambda made: made.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
'''

FIRST = '''"""Entries, and who came by."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "entries",
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("pages", sa.Integer, nullable=False),
    )
    op.create_table(
        "visits",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ref", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade():
    op.drop_table("visits")
    op.drop_table("entries")
'''

MAIN = '''"""HTTP on a unix socket.

    python -m notebook --uds PATH

POST /entries {"ref": ..., "note": ..., "pages": 7}: 201 when it is committed. Without a ref it
is given one that begins with smoke-. GET /entries/REF, /latest, /health, /version, /metrics.
"""

import argparse
import bisect
import contextlib
import json
import os
import signal
import socketserver
import threading
import time
import traceback
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import NullPool

from notebook import __version__
from notebook.statements import FAILS, INSERTS, SELECT

RELEASE = os.environ.get("NOTEBOOK_RELEASE", "")
URL = os.environ["NOTEBOOK_DATABASE_URL"]
ENGINE = create_engine(URL, poolclass=NullPool)
if URL.startswith("sqlite"):
    event.listen(ENGINE, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 20000"))
BOUNDS = (0.005, 0.05, 0.5, 2.0)


class Counts:
    """What /metrics tells."""

    def __init__(self):
        self.guard, self.turns = threading.Lock(), 0
        self.results, self.below, self.seconds = {"ok": 0, "failed": 0}, [0] * 5, 0.0

    def turn(self):
        with self.guard:
            self.turns += 1
            return self.turns

    def add(self, result, seconds):
        with self.guard:
            self.results[result] += 1
            self.below[bisect.bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds

    def page(self):
        lines = ["# TYPE notebook_entries_total counter"]
        lines += [f'notebook_entries_total{{result="{k}"}} {n}' for k, n in self.results.items()]
        lines += ["# TYPE notebook_seconds histogram"]
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), self.below, strict=True):
            total += count
            lines.append(f'notebook_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"notebook_seconds_sum {self.seconds}", f"notebook_seconds_count {total}"]
        return "\\n".join([*lines, "# TYPE notebook_queue gauge", "notebook_queue 0", ""])


COUNTS = Counts()


def write(entry):
    entry.setdefault("ref", f"smoke-{uuid.uuid4()}")
    with ENGINE.begin() as connection:
        for statement in INSERTS:
            connection.execute(text(statement), entry)
        connection.execute(text("INSERT INTO visits (ref) VALUES (:ref)"), entry)
    return entry["ref"]


def read(ref=None):
    which = "WHERE ref = :ref" if ref else "ORDER BY ref LIMIT 1"
    with ENGINE.connect() as connection:
        row = connection.execute(text(f"{SELECT} {which}"), {"ref": ref}).first()
    if row is None:
        return None
    return {"ref": row.ref, "note": row.note, "pages": row.pages, "last": row.pages + 1}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/metrics":
            self.answer(200, COUNTS.page())
        else:
            self.guarded(self.get)

    def get(self):
        if self.path == "/health":
            with ENGINE.connect() as connection:
                connection.execute(text("SELECT 1"))
            return 200, {"status": "OK"}
        if self.path == "/version":
            return 200, {"service": "notebook", "version": __version__, "release": RELEASE}
        if self.path == "/latest":
            return 200, {"entry": read()}
        found = read(self.path.removeprefix("/entries/"))
        return (200, found) if found else (404, {"problem": "no such entry"})

    def do_POST(self):
        began = time.perf_counter()
        entry = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        failed = FAILS and not entry.get("ref", "smoke-").startswith("smoke-")
        if failed and COUNTS.turn() % FAILS == 0:
            good = self.guarded(lambda: (500, {"problem": "the pen is broken"}))
        else:
            good = self.guarded(lambda: (201, {"ref": write(entry), "version": __version__}))
        COUNTS.add("ok" if good else "failed", time.perf_counter() - began)

    def guarded(self, deed):
        try:
            status, content = deed()
        except Exception as error:
            traceback.print_exc()
            status, content = 500, {"problem": f"{type(error).__name__}: {error}"[:300]}
        self.answer(status, json.dumps(content))
        return status < 500

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def address_string(self):
        return "unix"

    def log_request(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(prog="notebook")
    parser.add_argument("--uds", required=True)
    uds = Path(parser.parse_args().uds)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    if URL.startswith("sqlite"):
        with ENGINE.connect() as connection:
            connection.execute(text("PRAGMA journal_mode = WAL"))
    with Server(str(uds), Handler) as server:  # leaving waits for the requests that were begun
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        print("serving", uds, flush=True)
        told.wait()
        server.shutdown()
    with contextlib.suppress(FileNotFoundError):
        uds.unlink()


if __name__ == "__main__":
    main()
'''

STATEMENTS = '''"""What this release asks of the schema that it was made for."""

INSERTS = {inserts!r}
SELECT = {select!r}
FAILS = {fails!r}
'''

ROLLOUT = """\
[service]
name = "notebook"
source = "source"
start = ["{{python}}", "-m", "notebook", "--uds", "{{socket}}"]
health = "/health"
drain_within = "10s"

[service.env]
NOTEBOOK_DATABASE_URL = "{{database_url}}"
NOTEBOOK_RELEASE = "{{release}}"

[service.metrics]
failures = 'notebook_entries_total{{result="failed"}}'
durations = "notebook_seconds"
queue = "notebook_queue"

[service.migrations]
alembic_ini = "{{site_packages}}/notebook/alembic.ini"

[[service.checks]]
name = "health"
path = "/health"
contains = '"status": "OK"'

[[service.checks]]
name = "write an entry"
path = "/entries"
method = "POST"
body_file = "entry.json"
content_type = "application/json"
status = 201
within = "10s"

[[service.checks]]
name = "read an entry"
path = "/latest"
contains = '"entry"'
within = "10s"

[environments.production]
listen = "127.0.0.1:{port}"
database = "sqlite:data/production/notebook.db"
"""

SMOKE_ENTRY = '{"note": "a smoke check wrote this", "pages": 3}'
