"""Where one release of a Python service is built: its own environment, in its own folder."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import uv

from guarded_rollout.adapters.builds.manifest import Manifest, take_stock
from guarded_rollout.adapters.builds.source import BUILD_LOCK, LOCK, PYTHON, read_source
from guarded_rollout.adapters.processes import leash
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.spec import Migrations, Release, Service
from guarded_rollout.ports import Clock, Control

COMMAND_SECONDS = 1800.0
LAST_LINES = 15
PASSED_ON = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
)
PASSED_ON_PREFIXES = ("UV_", "XDG_")


@dataclass(frozen=True, slots=True)
class BuildSite:
    """One build. `folder` becomes the release; `lock` is a descriptor its commands inherit."""

    folder: Path
    release: Release
    log: Path
    lock: int
    control: Control
    clock: Clock

    @property
    def python(self) -> Path:
        """The release's own interpreter."""
        return self.folder / "venv" / "bin" / "python"

    def make(self, service: Service, source: Path) -> None:
        """Everything that has to be in the folder, then the manifest; read-only in the end.

        BadInput when the source is not the release's, or its Alembic configuration is wrong;
        Broken with the last lines when a command fails.
        """
        copy, wheels = self.folder / "source", self.folder / "wheels"
        self.control.say(f"building {self.release.name} from {source}")
        self._copy(service, source, copy)
        base = getattr(sys, "_base_executable", sys.executable)
        python = ("--python", str(self.python))
        self._uv("venv", "--relocatable", "--python", base, str(self.folder / "venv"))
        self.control.say(f"installing what {LOCK} names")
        self._uv("pip", "install", *python, "--require-hashes", "-r", str(copy / LOCK))
        self.control.say("building and installing the service")
        locked: tuple[str, ...] = ()
        if (copy / BUILD_LOCK).exists():
            locked = ("--build-constraints", str(copy / BUILD_LOCK), "--require-hashes")
        self._uv("build", "--wheel", *locked, "--out-dir", str(wheels), str(copy))
        made = [str(wheel) for wheel in wheels.glob("*.whl")]
        self._uv("pip", "install", *python, "--no-deps", *made)
        self._uv("pip", "check", *python)
        shutil.rmtree(copy)
        shutil.rmtree(wheels)
        head = None if service.migrations is None else self._head(service.migrations)
        Manifest(self.release, head, take_stock(self.folder)).write(self.folder)
        self._read_only()

    def _copy(self, service: Service, source: Path, copy: Path) -> None:
        """What is built is the copy, so its digest is the one that counts."""
        read = read_source(service.name, source)
        copy.mkdir()
        read.copy(copy)
        copied = read_source(service.name, copy)
        if (service.name, copied.version, copied.digest()) != (
            self.release.service,
            self.release.version,
            self.release.digest,
        ):
            raise BadInput(
                f"the source {source} changed since the plan was made for {self.release.name}",
                "make a new plan: run the deploy again",
            )

    def _uv(self, *words: str) -> None:
        try:
            found = uv.find_uv_bin()
        except FileNotFoundError as problem:
            raise Broken(
                "uv, which builds releases, is not installed", "install it: pip install uv"
            ) from problem
        what = " ".join(words[:2] if words[0] == "pip" else words[:1])
        self._run(f"`uv {what}`", (found, *words))

    def _head(self, migrations: Migrations) -> str | None:
        """The one schema revision that the release needs, as its own Alembic sees it."""
        packages = self.folder / "venv" / "lib" / f"python{PYTHON}" / "site-packages"
        ini = migrations.alembic_ini.replace("{site_packages}", str(packages))
        ini = ini.replace("{folder}", str(self.folder))
        if not (self.folder / ini).is_file():
            raise BadInput(
                f"{self.release.name} has no file {ini.replace(str(self.folder), '{folder}')}",
                "correct alembic_ini in rollout.toml: it may use {site_packages} and {folder}",
            )
        argv = (str(self.python), "-m", "alembic", "-c", ini, "heads")
        output = self._run("`alembic heads`", argv)
        heads = [line.split()[0] for line in output.splitlines() if line.endswith("(head)")]
        if len(heads) > 1:
            raise BadInput(
                f"{self.release.name} has {len(heads)} schema heads: {', '.join(heads)}",
                "make them one: alembic merge heads",
            )
        return heads[0] if heads else None

    def _run(self, what: str, argv: tuple[str, ...]) -> str:
        """One command; its output, or Broken with its last lines."""
        done = leash.run(
            argv,
            env=_environment(),
            cwd=self.folder,
            control=self.control,
            clock=self.clock,
            timeout=COMMAND_SECONDS,
            log=self.log,
            pass_fds=(self.lock,),
        )
        if done.code != 0:
            last = "\n".join(f"  {line}" for line in done.output.split("\n")[-LAST_LINES:] if line)
            raise Broken(
                f"{what} failed for {self.release.name} (code {done.code}):\n{last}",
                f"the whole output is in {self.log}",
            )
        return done.output

    def _read_only(self) -> None:
        for where, _, files in os.walk(self.folder, topdown=False):
            for name in (*files, "."):
                file = Path(where) / name
                if not file.is_symlink():
                    file.chmod(file.stat().st_mode & ~0o222)


def _environment() -> dict[str, str]:
    """For code that is not ours: where to find and put things, none of the secrets."""
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    return passed_on | {
        "UV_LINK_MODE": "copy",  # a hard link would share its mode and content with the cache
        "UV_COMPILE_BYTECODE": "1",  # a running release must not write into its own folder
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "SOURCE_DATE_EPOCH": "315532800",  # the same source gives the same wheel
    }
