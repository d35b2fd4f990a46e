"""An archive of one small database of each kind, and ways to spoil what is in it."""

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.retention import Backup
from guarded_rollout.engine.drill import Drill, Drilled
from guarded_rollout.ports import BackupRequest, Database
from guarded_rollout.testing.control import Told

KINDS = ("sqlite", "postgresql")
ROWS = {"images": 40, "reviews": 20, "empty": 0}
REQUEST = BackupRequest("production", "1.0", "ada", "test", ("config/it.conf",))
TABLES = (
    "CREATE TABLE alembic_version (version_num varchar(32))",
    "INSERT INTO alembic_version VALUES ('0007')",
    "CREATE TABLE images (id int PRIMARY KEY, hash text)",
    "CREATE TABLE reviews (id int PRIMARY KEY, image int REFERENCES images(id), words text)",
    "CREATE TABLE empty (id int PRIMARY KEY)",
    "CREATE INDEX reviews_image ON reviews (image)",
    *(f"INSERT INTO images VALUES ({i}, '{i:016x}')" for i in range(ROWS["images"])),
    *(f"INSERT INTO reviews VALUES ({i}, {i}, 'word {i}')" for i in range(ROWS["reviews"])),
)

Members = dict[str, bytes]
Change = Callable[[dict[str, Any], Members], None]


@dataclass(frozen=True)
class World:
    """A root with an archive, and a database; `run` is SQL on it or on a scratch beside it."""

    root: Path
    archive: ZipArchive
    database: Database
    run: Callable[[Database, tuple[str, ...]], None]

    def create(self) -> Backup:
        return self.archive.create(REQUEST, self.database, Told())

    def verify(self, backup: Backup) -> Backup:
        return self.archive.verify(Path(backup.file), "production", self.database)

    def drill(self, backup: Backup) -> Drilled:
        drill = Drill(self.archive, self.database, SystemClock(), "production")
        return drill.run(Path(backup.file), Told())

    def spoiling(self, *statements: str) -> "World":
        """The same; what is restored is spoilt by `statements` before anybody looks."""
        run = self.run
        return replace(self, database=spoiling(self.database, lambda db: run(db, statements)))

    def zip(self, backup: Backup) -> Path:
        return self.root / backup.file

    def sums(self, backup: Backup) -> Path:
        return self.root / f"{backup.file}.sha256"

    def listing(self) -> list[str]:
        return sorted(path.name for path in (self.root / "backups").iterdir())

    def sum_again(self, backup: Backup) -> None:
        """The checksum fits whatever the zip is now."""
        digest = hashlib.sha256(self.zip(backup).read_bytes()).hexdigest()
        self.sums(backup).write_text(f"{digest}  {backup.file}\n")

    def rewrite(self, backup: Backup, change: Change) -> None:
        """Change the manifest or the members; only the zip's own checksum fits afterwards."""
        with zipfile.ZipFile(self.zip(backup)) as packed:
            members = {name: packed.read(name) for name in packed.namelist()}
        said = json.loads(members["MANIFEST.json"])
        change(said, members)
        if "MANIFEST.json" in members:
            members["MANIFEST.json"] = json.dumps(said).encode()
        with zipfile.ZipFile(self.zip(backup), "w") as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        self.sum_again(backup)

    def remake(self, backup: Backup, change: Change, *, whole: bool = True) -> None:
        """The same, and the manifest lists the members as they are now: every SHA-256 fits.

        `whole`: the one of the whole dump too.
        """

        def and_list(said: dict[str, Any], members: Members) -> None:
            change(said, members)
            said["members"] = [
                {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in members.items()
                if name != "MANIFEST.json"
            ]
            if whole:
                parts = [one for one in said["members"] if one["name"].startswith("database/")]
                lines = sorted(f"{one['sha256']}  {one['name']}\n" for one in parts)
                digest = hashlib.sha256("".join(lines).encode()).hexdigest()
                said["database"]["sha256"] = digest

        self.rewrite(backup, and_list)

    def dump_again(
        self, backup: Backup, statements: tuple[str, ...], *, counted: bool, whole: bool = True
    ) -> None:
        """As if the dump had been made after `statements`; see `remake`.

        `counted`: the manifest's row counts too. Its schema is that of before.
        """
        scratch = self.database.scratch("spoil")
        folder = self.root / "spoilt"
        folder.mkdir()
        dump = folder / "dump"
        try:
            with self.archive.unpacked(Path(backup.file), "production", self.database) as found:
                assert found.dump is not None
                scratch.fill(found.dump, Told())
            self.run(scratch, statements)
            rows = dict(scratch.dump(dump, Told()).rows)
        finally:
            scratch.discard()

        def replaced(said: dict[str, Any], members: Members) -> None:
            whole = said["database"]["member"]
            for name in [name for name in members if name.startswith("database/")]:
                del members[name]
            if dump.is_dir():
                members.update({whole + part.name: part.read_bytes() for part in dump.iterdir()})
            else:
                members[whole] = dump.read_bytes()
            if counted:
                said["database"]["rows"] = rows

        self.remake(backup, replaced, whole=whole)


def spoiling(database: Database, spoil: Callable[[Database], None]) -> Database:
    """The same database; whatever goes into a scratch beside it is spoilt right afterwards."""

    class Spoiling(type(database)):  # type: ignore[misc]
        def scratch(self, purpose):
            made = super().scratch(purpose)

            class Spoilt(type(made)):
                def fill(self, dump, control):
                    super().fill(dump, control)
                    spoil(self)

            return Spoilt(*(getattr(made, field.name) for field in fields(made)))

    return Spoiling(*(getattr(database, field.name) for field in fields(database)))


def _run_sqlite(database: Database, statements: tuple[str, ...]) -> None:
    assert isinstance(database, SqliteDatabase)
    with closing(sqlite3.connect(database.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def sqlite_world(folder: Path) -> World:
    database = SqliteDatabase(folder / "it.db", SystemClock())
    _run_sqlite(database, TABLES)
    return _world(folder, database, _run_sqlite)


def postgres_world(folder: Path, server: Any) -> World:
    def run(database: Database, statements: tuple[str, ...]) -> None:
        server.run(*statements, name=database.url().rpartition("/")[2], user="dhash")

    database = server.database()
    run(database, TABLES)
    return _world(folder, database, run)


def _world(folder: Path, database: Database, run: Any) -> World:
    root = folder / "root"
    (root / "config").mkdir(parents=True)
    (root / "config" / "it.conf").write_text("PORT=8080\n")
    return World(root, ZipArchive(root, SystemClock(), "dhash"), database, run)
