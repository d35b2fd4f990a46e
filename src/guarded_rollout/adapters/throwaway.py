"""A copy of a project in which everything may be tried: its own ports, data, journal and notices.

Nothing of the project's own environments comes along: no data, no backup, no journal, and none of
config/*.conf, which say where the real servers are.
"""

import json
import shutil
import socket
import tarfile
import tomllib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from guarded_rollout.adapters.builds.source import read_source
from guarded_rollout.adapters.checkout import Checkout
from guarded_rollout.adapters.git import git
from guarded_rollout.core.problems import BadInput, Broken, NotPossible

ROLLOUT_FILE = "rollout.toml"
GATES_FILE = "quality-gates-config.json"
OURS = (".rollout", "backups", "data", "logs", "monitor_logs", "notifications_out")
"""What rollouts write below a root: it stays when another tree is laid over it."""
WATCH_SECONDS = 10
_NOT_COPIED = (*OURS, ".git", ".venv", "__pycache__", "node_modules", "premerge_artifacts")
_BUT_OURS = ("--", ".", ":(exclude)premerge_artifacts")
"""For Git, in a project that does not ignore what premerge writes."""
_KEPT_KEYS = ("database", "env", "replicas", "probe_every", "allow_forward_only")
MARKER = "PREMERGE_BASELINE.txt"


def changed_files(root: Path) -> tuple[str, ...] | None:
    """Look: what `git status` lists below the root; None outside of a Git repository."""
    try:
        said = git(root, "status", "--porcelain", "--untracked-files=all", *_BUT_OURS)
    except Broken:
        return None
    return tuple(said.decode("utf-8", "replace").splitlines())


def commit_of(root: Path) -> str | None:
    """Look: what is checked out; None outside of a Git repository, and before its first commit."""
    try:
        return Checkout(root).commit()
    except (Broken, NotPossible):
        return None


def copy_project(root: Path, to: Path) -> None:
    """What Git knows or would add; outside of a repository all but what is made. Raises OSError."""
    try:
        words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", *_BUT_OURS)
        listed = git(root, *words)
        names = [name for name in listed.decode().split("\0") if (root / name).is_file()]
    except Broken:
        shutil.copytree(root, to, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True)
    else:
        for name in names:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def copy_commit(root: Path, ref: str, to: Path) -> None:
    """The project's files as they are in a commit. Broken, with Git's words, when it has none."""
    commit = git(root, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    archive = git(root, "archive", "--format=tar", commit.decode().strip())
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(to, filter="data")


def set_apart(tree: Path, environment: str, port: int) -> str:
    """Configure a copy for trying out; returns its rollout.toml. BadInput, NotPossible.

    The watch is short and judged by the built-in limits, by requests of its own; there are no
    copies of backups, sign-offs, channels or shared journals.
    """
    for file in (tree / "config").glob("*.conf"):
        file.unlink()
    try:
        said = tomllib.loads((tree / ROLLOUT_FILE).read_text("utf-8"))
        service, real = said["service"], said["environments"][environment]
        database = str(real["database"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{ROLLOUT_FILE} cannot be read: {error}", "correct it") from error
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{ROLLOUT_FILE} has no {error}", "docs/reference/configuration.md"
        ) from error
    if not database.startswith("sqlite:"):
        raise NotPossible(
            f"{environment} has its data in {database}, and no server is started to throw away",
            "name an environment whose database is an SQLite file: --env",
        )
    tried = {
        **{key: real[key] for key in _KEPT_KEYS if key in real},
        "listen": f"127.0.0.1:{port}",
        "replicas": min(int(real.get("replicas", 1)), 2),
        "scrape_every": "1s",
        "synthetic_per_second": 20,
    }
    text = _toml(
        {
            "service": service,
            "notify": {"channels": ["file"]},
            "environments": {environment: tried},
        }
    )
    (tree / ROLLOUT_FILE).write_text(text, "utf-8")
    (tree / GATES_FILE).write_text(json.dumps(_gates(environment), indent=2), "utf-8")
    return text


def _gates(environment: str) -> dict[str, Any]:
    """Evidence and the real windows want more minutes than a person waits for."""
    watch = {
        "duration": f"{WATCH_SECONDS}s",
        "initialInterval": 2,
        "initialPeriod": 60,
        "interval": 2,
    }
    policy = {
        "judge": "thresholds",
        "minimumSamples": 5,
        "autoRollback": True,
        "extendMinutes": 0,
        "monitoring": watch,
    }
    return {"environments": {environment: policy}}


def told_apart(service: str, baseline: Path, candidate: Path) -> bool:
    """See to it that two trees give two releases; True: they did anyway.

    Otherwise the baseline gets one more file, so that the way back leads somewhere.
    """
    source = PurePosixPath(
        tomllib.loads((candidate / ROLLOUT_FILE).read_text("utf-8"))["service"]["source"]
    )
    digests = {read_source(service, tree / source).digest() for tree in (baseline, candidate)}
    if len(digests) > 1:
        return True
    (baseline / source / MARKER).write_text("The same release under another digest.\n", "utf-8")
    return False


def lay(tree: Path, site: Path) -> None:
    """Replace what is in the site by the tree; what rollouts wrote there stays. Raises OSError."""
    site.mkdir(exist_ok=True)
    for entry in site.iterdir():
        if entry.name in OURS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    shutil.copytree(tree, site, dirs_exist_ok=True)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def remove(folder: Path) -> None:
    """All of it; the folders of releases are read-only."""
    for below in (folder, *folder.rglob("*")):
        if below.is_dir() and not below.is_symlink():
            below.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _toml(document: Mapping[str, object]) -> str:
    """One line per section: inline tables say all that tomllib reads but dates."""
    return "".join(f"{_inline(key)} = {_inline(value)}\n" for key, value in document.items())


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        members = (f"{_inline(key)} = {_inline(member)}" for key, member in value.items())
        return f"{{ {', '.join(members)} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    # JSON's escapes are TOML's too, and DEL is the one character that only TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
