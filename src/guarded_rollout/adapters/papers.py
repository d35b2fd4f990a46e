"""Files for people below the project's folder: incidents and reports."""

from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.problems import Broken

TEMPLATES = "templates"
_PACKED = Path(__file__).parents[1] / "templates"
_CHECKOUT = Path(__file__).parents[3] / TEMPLATES


@dataclass(frozen=True, slots=True)
class PaperFiles:
    """Satisfies ports.Papers. Files are for their owner alone: logs are among them."""

    root: Path

    def template(self, name: str) -> str:
        """Look: the project's own template, or the one that is built in."""
        for folder in (self.root / TEMPLATES, _PACKED, _CHECKOUT):
            try:
                return (folder / name).read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
        return ""

    def write(self, file: str, text: str) -> None:
        """Put it there, whole or not at all, and on the disk. Broken when it cannot be written."""
        path = self.root / file
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, text.encode("utf-8", "replace"))
        except OSError as error:
            raise Broken(
                f"{file} cannot be written: {error.strerror or error}",
                "make room, or let this user write there; the journal has everything",
            ) from error

    def written(self, file: str) -> str | None:
        """Look: what is there; None: nothing that can be read."""
        try:
            return (self.root / file).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
