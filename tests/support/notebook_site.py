"""A site where the notebook serves, on SQLite or on a real PostgreSQL, and what is in its data."""

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from made_releases import linked
from notebook_source import ROLLOUT, SMOKE_ENTRY
from postgres_of_ours import PASSWORD, USER, Server, binaries
from schema_releases import make
from site_of_ours import ENVIRONMENT, Site, driven, since_start

from guarded_rollout.adapters.builds.builder import VenvBuilder
from guarded_rollout.adapters.builds.manifest import Manifest, take_stock
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.launching import launch
from guarded_rollout.ports import Built, Ports
from guarded_rollout.testing.control import Told

HEADS = {"first": "0001", "same": "0001"}


class Builds:
    """Releases of the notebook on disk, for all sites and all test processes of a session.

    The first one is built by the tool. The others have the same packages, so they are made from
    it: hard links, and their own files of the notebook in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rollout.toml").write_text(ROLLOUT.format(port=1))
        (folder / "entry.json").write_text(SMOKE_ENTRY)

    def source(self, name: str) -> Path:
        """The release's source folder."""
        with self._lock():
            return self._source(name)

    def built(self, name: str) -> Built:
        """The release on disk."""
        with self._lock():
            service = load_spec(self._folder, ENVIRONMENT).service
            builder = VenvBuilder(self._folder / "state", SystemClock())
            release = builder.describe(service, self._source(name))
            there = builder.built(release)
            if there is not None:
                return there
            if name == "first":
                return builder.build(service, self._source(name), release, Told())
            first = builder.describe(service, self._source("first"))
            base = builder.build(service, self._source("first"), first, Told())
            return self._derived(base, name, release)

    def put(self, name: str, root: Path) -> Built:
        """The same, where a site's own builder finds it."""
        built = self.built(name)
        place = root / ".rollout" / "releases" / "notebook" / built.release.name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            linked(built.folder, place)
        return Built(built.release, place, built.head)

    def _source(self, name: str) -> Path:
        folder = self._folder / "sources" / name
        return folder if folder.exists() else make(name, folder)

    def _derived(self, base: Built, name: str, release: Release) -> Built:
        fresh = base.folder.with_name(f".making-{release.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        linked(base.folder, fresh)
        for where, _, _ in os.walk(fresh):
            Path(where).chmod(0o755)
        (package,) = fresh.glob("venv/lib/python*/site-packages/notebook")
        shutil.rmtree(package)
        shutil.copytree(self._source(name) / "src" / "notebook", package)
        (fresh / "manifest.json").unlink()
        head = HEADS.get(name, "0002")
        Manifest(release, head, take_stock(fresh)).write(fresh)
        place = base.folder.with_name(release.name)
        fresh.rename(place)
        return Built(release, place, head)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Look:
    """What is in the database, in the columns of the first release. None: not in these columns."""

    schema: tuple[str, ...]
    entries: dict[str, tuple[str, int]] | None
    visits: int


class Notebook(Site):
    """A site of the notebook. `server` None: its data is in SQLite."""

    def __init__(self, builds: Builds, server: Server | None = None, *, watch: str = "12s") -> None:
        super().__init__(watch=watch, replicas=1)
        self.builds, self._server = builds, server
        (self.root / "services").unlink()
        (self.root / "source").symlink_to(builds.source("first"))
        (self.root / "rollout.toml").write_text(ROLLOUT.format(port=self.port))
        (self.root / "entry.json").write_text(SMOKE_ENTRY)
        self.database_name = ""
        if server is not None:
            server.database()
            self.database_name = server.made[-1]
            (self.root / "config").mkdir()
            (self.root / "config" / "db_production.conf").write_text(
                f"DB_HOST=127.0.0.1\nDB_PORT={server.port}\n"
                f"DB_NAME={self.database_name}\nDB_USER={USER}\n"
            )
            self.env |= {"PGPASSWORD": PASSWORD, "PG_BIN": str(binaries())}

    def first(self) -> None:
        """The first release serves; a person took it."""
        self.promoted("first")

    def promoted(self, name: str, *words: str) -> None:
        """Deploy, and take it as soon as it is watched."""
        self.begin(name, *words)
        self.take()

    def begin(self, name: str, *words: str) -> None:
        """Deploy, until it is watched."""
        self.builds.put(name, self.root)
        source = ("--source", self.builds.source(name))
        done = self.rollout("deploy", "--env", ENVIRONMENT, *source, "--detach", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        facts = self.wait_for(lambda facts: driven(facts)[-1][0] in {"observed", "step-failed"})
        assert driven(facts)[-1][0] == "observed", driven(facts)[-1]

    def take(self) -> None:
        """Promote what is watched."""
        done = self.rollout("promote", "--env", ENVIRONMENT, "--reason", "a person looked")
        assert done.returncode == 0, done.stdout + done.stderr

    def told(self, *words: object, code: int = 0) -> dict:
        """`rollout WORDS --json`, the document; the exit code must be this one."""
        done = self.rollout(*words, "--env", ENVIRONMENT, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def outcome(self, step: str) -> dict:
        """What a step of the newest rollout has written into the journal."""
        bodies = [body for kind, body in since_start(self.facts()) if kind == "step-done"]
        return next(body["outcome"] for body in bodies if body["step"] == step)

    def down(self, name: str) -> None:
        """The schema as it was before this release, by its own way down."""
        migrations = load_spec(self.root, ENVIRONMENT).service.migrations
        assert migrations is not None
        built = self.builds.put(name, self.root)
        self.ports().migrator.down(built, migrations, "0001", Told())

    def ports(self) -> Ports:
        """The tool's own view of the site, in this process."""
        places = Places(self.root)
        spec = load_spec(self.root, ENVIRONMENT)
        return open_ports(places, spec, open_journal(places, look_only=True))

    def query(self, sql: str) -> list[tuple]:
        """Rows, read behind everybody's back."""
        if self._server is not None:
            return self._server.run(sql, name=self.database_name, user=USER)
        file = self.root / "data" / "production" / "notebook.db"
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as db:
            return db.execute(sql).fetchall()

    def run(self, *statements: str) -> None:
        """Written behind everybody's back."""
        if self._server is not None:
            self._server.run(*statements, name=self.database_name, user=USER)
            return
        file = self.root / "data" / "production" / "notebook.db"
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as db, db:
            for statement in statements:
                db.execute(statement)

    def refs(self) -> set[str]:
        """The entries that are there."""
        return {ref for (ref,) in self.query("SELECT ref FROM entries")}

    def look(self) -> Look:
        """The database's schema and rows."""
        entries = None
        with contextlib.suppress(sqlite3.OperationalError, psycopg.errors.UndefinedColumn):
            rows = self.query("SELECT ref, note, pages FROM entries")
            entries = {ref: (note, pages) for ref, note, pages in rows}
        ((visits,),) = self.query("SELECT count(*) FROM visits")
        # SQLite puts quotes around the name of a table that it renamed.
        schema = (
            " ".join(text.replace('"', "").split()) for text in self.ports().database.schema()
        )
        return Look(tuple(sorted(schema)), entries, visits)

    def scratches(self) -> list[str]:
        """Databases for trying things out that are still there."""
        if self._server is not None:
            mine = f"{self.database_name}_"
            return [name for name in self._server.databases() if name.startswith(mine)]
        folder = self.root / "data" / "production"
        return [file.name for file in folder.iterdir() if not file.name.startswith("notebook.db")]

    @contextlib.contextmanager
    def running(self, built: Built) -> Iterator[Path]:
        """A process of the release on the site's own database, in nobody's traffic: its socket."""
        ports = self.ports()
        ready = launch(ports, load_spec(self.root, ENVIRONMENT), built)
        with ports.stage.try_out(ready) as trial:
            while not _listens(trial.socket()):
                assert trial.ended() is None, trial.log().read_text()
                time.sleep(0.02)
            yield trial.socket()


def _listens(path: Path) -> bool:
    """The file is there a moment before anybody listens."""
    try:
        with contextlib.closing(_OnSocket(path)) as connection:
            connection.connect()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


class _OnSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


def works(place: Path | int, known: str) -> str:
    """Everything that the notebook is asked by its users. Empty: it works; else what went wrong.

    `place`: a replica's socket, or the proxy's port. `known`: an entry of before.
    """
    ref = f"user-{time.time_ns()}"
    entry = {"ref": ref, "note": f"about {ref}", "pages": 41}
    asked = (
        ("GET", "/health", None, 200, '"OK"'),
        ("POST", "/entries", entry, 201, ref),
        ("GET", f"/entries/{ref}", None, 200, '"last": 42'),
        ("GET", f"/entries/{ref}", None, 200, f'"about {ref}"'),
        ("GET", f"/entries/{known}", None, 200, known),
        ("GET", "/latest", None, 200, '"ref"'),
    )
    for method, path, content, status, contains in asked:
        if isinstance(place, int):
            connection = http.client.HTTPConnection("127.0.0.1", place, timeout=60)
        else:
            connection = _OnSocket(place)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(content) if content else None)
            answer = connection.getresponse()
            body = answer.read().decode()
        if answer.status != status or contains not in body:
            return f"{method} {path}: {answer.status} {body}"
    return ""


def shared(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """The builds of this session, for all of its test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return Builds(folder / "notebook")
