"""A place for copies, in memory."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.core.retention import Backup
from guarded_rollout.ports import Control, Copy


@dataclass(slots=True)
class HeldCopy:
    """What lies there, and what was written down about it."""

    backup: Backup
    content: bytes | None
    sha256: str


@dataclass(frozen=True, slots=True)
class FakePlace:
    """ports.Place. `act` is called before every effect, and may raise.

    A backup whose file does not exist is a fake too: its content is believed.
    """

    name: str
    root: Path
    held: dict[str, HeldCopy]
    act: Callable[[], None]

    def put(self, backup: Backup, control: Control) -> Copy:
        file = self.root / backup.file
        copy = Copy(file.name, backup.size, backup.sha256, sent=True)
        there = self.held.get(copy.name)
        if there is not None and there.sha256 == self._found(there) == backup.sha256:
            return replace(copy, sent=False)
        self.act()
        if control.stopped():
            raise Interrupted(f"copying to {self.name} was told to stop", "start it again")
        content = file.read_bytes() if file.exists() else None
        held = HeldCopy(replace(backup, file=copy.name, verified=False), content, backup.sha256)
        if self._found(held) != backup.sha256:
            raise Broken(f"{backup.file} is not what was written any more", "make a new backup")
        self.held[copy.name] = held
        return copy

    def holds(self) -> tuple[Backup, ...]:
        found = sorted(self.held.values(), key=lambda h: (h.backup.created, h.backup.file))
        return tuple(replace(held.backup, sha256="") for held in reversed(found))

    def verify(self, name: str, control: Control) -> Copy:
        if control.stopped():
            raise Interrupted(f"reading {name} was told to stop", "start it again")
        if name not in self.held:
            raise BadInput(f"{self.name} has no finished copy {name}", "see what is there")
        held = self.held[name]
        if self._found(held) != held.sha256:
            raise Broken(f"{name} at {self.name} is not what was written", "use another copy")
        return Copy(name, held.backup.size, held.sha256)

    def fetch(self, name: str, to: Path, control: Control) -> Copy:
        copy = self.verify(name, control)
        beside = to.with_name(f"{to.name}.sha256")
        if to.exists() or beside.exists():
            raise BadInput(f"{to} exists already", "name a new file")
        to.write_bytes(self.held[name].content or b"")
        beside.write_text(f"{copy.sha256}  backups/{to.name}\n")
        return copy

    def remove(self, name: str) -> None:
        if self.held.pop(name, None) is not None:
            self.act()

    @staticmethod
    def _found(held: HeldCopy) -> str:
        if held.content is None:
            return held.sha256
        return hashlib.sha256(held.content).hexdigest()
