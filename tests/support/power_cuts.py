"""What a power cut leaves: a program's file operations, recorded by strace, and played up to a cut.

The model is meaner than a usual filesystem. Data is on the disk after an fsync of its file, a name
after an fsync of its folder, and nothing before: neither in order nor whole. A cut leaves any mix:
what was made durable, names without their data, data without names, some writes and not others,
the last one torn.
"""

import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,lseek,fsync,fdatasync,ftruncate,truncate,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,mkdir,mkdirat,sendfile,"
    "copy_file_range,fallocate"
)
UNKNOWN = {"writev", "pwritev", "truncate", "sendfile", "copy_file_range", "fallocate"}
"""Calls that would change a file in a way that is not played."""

SECTOR = 512
FEW = 4
"""Of so many names that are not durable yet, each is left out and put in."""

_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_WORD = re.compile(r'"([^"]*)"')
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')
_HANDLE = re.compile(r"^(\d+)<([^>]*)>")
_BYTE = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Did:
    """One operation below the folder. `what`: write, cut, sync, name, unname, folder, told.

    `told` is a line on standard output: what the program promised by then.
    """

    what: str
    path: str = ""
    data: bytes = b""
    at: int = 0
    to: str = ""


def recorded(argv: Sequence[str], folder: Path) -> tuple[Did, ...]:
    """Run it; what it did below `folder`, paths relative to it."""
    log = folder.with_name(f"{folder.name}.strace")
    subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", log, *argv],
        check=True,
        stdout=subprocess.PIPE,
    )
    return tuple(_Reader(str(folder)).read(log))


@dataclass(slots=True)
class _Reader:
    """strace's log as operations. `places`: where each open file will be written next."""

    folder: str
    places: dict[str, int] = field(default_factory=dict)
    output: bytes = b""

    def read(self, log: Path) -> Iterator[Did]:
        begun: dict[str, str] = {}
        for line in log.read_text("latin-1").splitlines():
            pid = line.split(" ", 1)[0]
            if line.endswith("<unfinished ...>"):
                begun[pid] = line.removesuffix("<unfinished ...>").rstrip()
                continue
            resumed = re.match(r"^\d+ +<\.\.\. \w+ resumed>(.*)", line)
            whole = begun.pop(pid) + resumed[1] if resumed else line
            found = _LINE.match(whole)
            if found and int(found[3]) >= 0:
                yield from self._did(found[1], found[2], int(found[3]))

    def _did(self, call: str, said: str, result: int) -> Iterator[Did]:  # noqa: PLR0912 - one case per call
        paths = [
            self._below(str(Path(_text(at)) / _text(word)))
            for at, word in _PATH.findall(said if "write" not in call else "")
        ]
        handle = _HANDLE.match(said)
        number, open_path = (handle[1], self._below(_text(handle[2]))) if handle else ("", None)
        match call:
            case "openat" | "open" | "creat" if paths and paths[0] is not None:
                self.places[str(result)] = 0
                if "O_CREAT" in said or call == "creat":
                    yield Did("name", paths[0])
                if "O_TRUNC" in said:
                    yield Did("cut", paths[0])
            case "lseek":
                self.places[number] = result
            case "write" if open_path is not None:
                data = _bytes(_WORD.findall(said)[-1])[:result]
                yield Did("write", open_path, data, self.places.get(number, 0))
                self.places[number] = self.places.get(number, 0) + result
            case "write" if number == "1":
                yield from self._told(_bytes(_WORD.findall(said)[-1]))
            case "pwrite64" if open_path is not None:
                data = _bytes(_WORD.findall(said)[-1])[:result]
                yield Did("write", open_path, data, int(said.rsplit(",", 1)[1]))
            case "ftruncate" if open_path is not None:
                yield Did("cut", open_path, at=int(said.rsplit(",", 1)[1]))
            case "fsync" | "fdatasync" if open_path is not None:
                yield Did("sync", open_path)
            case "rename" | "renameat" | "renameat2" if None not in paths:
                yield Did("rename", paths[0], to=paths[1])
            case "link" | "linkat" if None not in paths:
                yield Did("link", paths[0], to=paths[1])
            case "unlink" | "unlinkat" | "rmdir" if paths[0] is not None:
                yield Did("unname", paths[0])
            case "mkdir" | "mkdirat" if paths[0] is not None:
                yield Did("folder", paths[0])
            case _ if call in UNKNOWN and open_path is not None:
                raise NotImplementedError(f"{call} is not played: {open_path}")

    def _told(self, data: bytes) -> Iterator[Did]:
        *lines, self.output = (self.output + data).split(b"\n")
        for line in lines:
            yield Did("told", data=line)

    def _below(self, path: str) -> str | None:
        """Relative to the folder; None: not in it."""
        if path == self.folder:
            return "."
        inside = path.startswith(f"{self.folder}/") and not path.endswith("(deleted)")
        return path[len(self.folder) + 1 :] if inside else None


def _bytes(word: str) -> bytes:
    return bytes(int(byte, 16) for byte in _BYTE.findall(word))


def _text(word: str) -> str:
    return _bytes(word).decode() if word.startswith("\\x") else word


@dataclass(slots=True)
class _File:
    """Its bytes now and on the disk; `pending`: what was done since, in order."""

    now: bytearray = field(default_factory=bytearray)
    disk: bytes = b""
    pending: list[Did] = field(default_factory=list)

    def do(self, did: Did) -> None:
        self.pending.append(did)
        _apply(self.now, did)

    def sync(self) -> None:
        self.disk = bytes(self.now)
        self.pending = []

    def some(self, chance: random.Random) -> bytes:
        """The disk's bytes and any of the pending operations, the last one torn."""
        mixed = bytearray(self.disk)
        for did in self.pending[:-1]:
            if chance.random() < 0.5:
                _apply(mixed, did)
        for did in self.pending[-1:]:
            torn = did.data[: max(SECTOR, len(did.data) // 2 // SECTOR * SECTOR)]
            _apply(mixed, Did(did.what, did.path, torn, did.at))
        return bytes(mixed)


def _apply(content: bytearray, did: Did) -> None:
    if did.what == "cut":
        del content[did.at :]
    content.extend(bytes(max(0, did.at - len(content))))
    content[did.at : did.at + len(did.data)] = did.data


Left = dict[str, bytes | None]
"""What a cut leaves: files by their path, None for a folder."""


@dataclass(slots=True)
class _Disk:
    """Names and files, now and as a cut leaves them. None is a folder."""

    names: dict[str, _File | None] = field(default_factory=dict)
    kept: dict[str, _File | None] = field(default_factory=dict)

    def do(self, did: Did) -> None:
        match did.what:
            case "name":
                self.names.setdefault(did.path, _File())
            case "folder":
                self.names[did.path] = None
            case "write" | "cut":
                self.names[did.path].do(did)
            case "sync" if self.names.get(did.path) is not None:
                self.names[did.path].sync()
            case "sync":
                self._sync_folder(did.path)
            case "rename":
                self.names[did.to] = self.names.pop(did.path)
            case "link":
                self.names[did.to] = self.names[did.path]
            case "unname":
                del self.names[did.path]

    def _sync_folder(self, folder: str) -> None:
        inside = lambda path: str(Path(path).parent) == folder  # noqa: E731 - used thrice below
        gone = [path for path in self.kept if inside(path) and path not in self.names]
        for path in gone:
            del self.kept[path]
        self.kept.update({path: file for path, file in self.names.items() if inside(path)})

    def left(self, seed: int) -> Iterator[Left]:
        """What a cut may leave right now."""
        chance = random.Random(seed)
        for names in (self.kept, self.names):
            yield _left(names, lambda file: file.disk)
            yield _left(names, lambda file: bytes(file.now))
            yield _left(names, lambda file: file.some(chance))
        for mixed in self._mixtures(chance):
            yield _left(mixed, lambda file: file.some(chance))

    def _mixtures(self, chance: random.Random) -> Iterator[dict[str, _File | None]]:
        """Names that are on the disk beside names that are not: all mixtures of a few, or one."""
        every = self.kept.keys() | self.names.keys()
        open_ones = sorted(
            path for path in every if self.kept.get(path, path) is not self.names.get(path, path)
        )
        few = len(open_ones) <= FEW
        picks = range(2 ** len(open_ones)) if few else [chance.getrandbits(len(open_ones))]
        for pick in picks:
            new = {path for bit, path in enumerate(open_ones) if pick >> bit & 1}
            sources = {path: self.names if path in new else self.kept for path in open_ones}
            mixed = {path: file for path, file in self.kept.items() if path not in sources}
            for path, names in sources.items():
                if path in names:
                    mixed[path] = names[path]
            yield mixed


def _left(names: dict[str, _File | None], content) -> Left:
    """Without what lies in a folder that is not there."""
    whole = {
        path: file
        for path, file in names.items()
        if all(str(above) in names for above in list(Path(path).parents)[:-1])
    }
    return {path: None if file is None else content(file) for path, file in whole.items()}


def cuts(done: Sequence[Did]) -> Iterator[tuple[Left, tuple[bytes, ...]]]:
    """What a cut after each operation may leave, and what the program had told by then.

    The same remains with the same promises come once.
    """
    disk, told, seen = _Disk(), [], set()
    for number, did in enumerate(done):
        if did.what == "told":
            told.append(did.data)
        else:
            disk.do(did)
        for left in disk.left(number):
            known = (len(told), frozenset(left.items()))
            if known not in seen:
                seen.add(known)
                yield left, tuple(told)


def lay_out(left: Left, folder: Path) -> None:
    """Put it on a real disk."""
    folder.mkdir(parents=True)
    for path, content in sorted(left.items()):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
            (folder / path).chmod(0o600)
