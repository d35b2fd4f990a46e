"""From the configuration's words to a place."""

from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.archive import names
from guarded_rollout.adapters.copies.checked import CheckedPlace
from guarded_rollout.adapters.copies.folder import FolderShelf
from guarded_rollout.adapters.copies.object_store import open_shelf
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import CopyPlace
from guarded_rollout.ports import Clock, Place


@dataclass(frozen=True, slots=True)
class CheckedCopies:
    """ports.Copies of one service's backups. `root`: the folder of rollout.toml."""

    root: Path
    service: str
    clock: Clock

    def at(self, place: CopyPlace) -> Place:
        """The place. Sends nothing. BadInput names a package or a credential that is missing."""
        kind, _, where = place.to.partition(":")
        if kind == "s3":
            shelf = open_shelf(place.name, place.to, place.endpoint)
            return CheckedPlace(shelf, self.root, self.service, self.clock)
        folder = Path(where)
        if folder.resolve() == (self.root / names.FOLDER).resolve():
            raise BadInput(
                f"{place.to} is where the backups themselves are",
                "name a folder on another disk",
            )
        return CheckedPlace(
            FolderShelf(folder, f"{self.service}_"), self.root, self.service, self.clock
        )
