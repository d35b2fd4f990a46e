"""Releases that one site of a test session built, for all the others: hard links, no copies."""

import contextlib
import os
import shutil
from pathlib import Path


class MadeReleases:
    """A folder of built releases. Whoever finds one in its place need not build it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lend(self, to: Path) -> None:
        """Put every release that is known into a site's own folder."""
        for made in self._folder.glob("[!.]*"):
            linked(made, to / made.name)

    def keep(self, built: Path) -> None:
        """Remember what a site built. Of two that come at once one wins; both are the same."""
        for made in built.glob("[!.]*"):
            place = self._folder / made.name
            if place.exists() or not (made / "manifest.json").exists():
                continue
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = self._folder / f".{made.name}-{os.getpid()}"
            linked(made, beside)
            with contextlib.suppress(OSError):
                beside.rename(place)


def linked(folder: Path, to: Path) -> None:
    """The same tree under another name."""
    shutil.copytree(folder, to, symlinks=True, copy_function=_link)


def _link(source: str, to: str) -> None:
    try:
        os.link(source, to)
    except OSError:  # another disk
        shutil.copy2(source, to)
