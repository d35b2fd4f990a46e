"""Templates of messages. One rule: `{name}` becomes the notice's value.

The first line is the title, an empty line begins a paragraph. A line whose names are all empty is
left out, and so is a paragraph. `{{` and `}}` are braces. `NAME.txt` is for the type NAME,
`notice.txt` for the others; `webhook.json` is what the generic
webhook gets, the same rule in every text of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guarded_rollout.core.filling import PIECE, filled_line
from guarded_rollout.core.notice import TYPES, Notice

OTHERS, WEBHOOK = "notice", "webhook.json"
_LARGEST = 64 * 1024
_PACKED = Path(__file__).parent / "templates"
_CHECKOUT = Path(__file__).parents[3] / "templates" / "notifications"


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with a notice's values."""

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong in a template. `line` from 1."""

    file: str
    line: int
    what: str
    hint: str


def values(notice: Notice) -> dict[str, str]:
    """Every name that a template may use. Lists have one line each."""
    at = datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    words = {
        name: getattr(notice, name)
        for name in (
            *("type", "environment", "message", "service", "version", "initiator"),
            *("duration", "done", "now", "rollout", "key"),
        )
    }
    lists = {
        "evidence": "\n".join(f"- {line}" for line in notice.evidence),
        "look": "\n".join(notice.look),
    }
    return words | lists | {"severity": str(notice.severity), "time": at}


NAMES = frozenset(values(Notice("info", "", "", 0.0)))


class Templates:
    """The templates of a project, and behind them the built-in ones. Read once; then pure."""

    def __init__(self, texts: Mapping[str, str], webhook: Any = None) -> None:  # noqa: ANN401 - JSON
        self._texts = texts
        self._webhook = webhook

    def fill(self, notice: Notice) -> Filled:
        """Title and paragraphs. A name that is unknown stays as it is written."""
        text = self._texts.get(notice.type) or self._texts.get(OTHERS, "{environment}\n{message}")
        known = values(notice)
        first, _, body = text.strip("\n").partition("\n")
        title = " ".join((filled_line(first, known) or "").split()).rstrip(" :")
        parts = (_paragraph(part, known) for part in re.split(r"\n[ \t]*\n", body))
        return Filled(title or notice.type, tuple(part for part in parts if part))

    def webhook(self, notice: Notice) -> Any:  # noqa: ANN401 - JSON
        """What the generic webhook gets; None: there is no template for it."""
        known = values(notice)
        return _walk(self._webhook, known) if self._webhook is not None else None


def load_templates(folder: Path | None) -> Templates:
    """The folder's templates over the built-in ones. What cannot be read there is built in."""
    texts: dict[str, str] = {}
    webhook = None
    for place in (_built_in(), folder):
        for file in _files(place):
            try:
                text = _text(file)
                if file.name == WEBHOOK:
                    webhook = json.loads(text)
                else:
                    texts[file.stem] = text
            except (OSError, ValueError):
                continue
    return Templates(texts, webhook)


def lint(folder: Path, shown: str) -> list[Finding]:
    """What is wrong with the folder's templates: file, line, name."""
    found: list[Finding] = []
    for file in _files(folder, every=True):
        name = f"{shown}/{file.name}"
        try:
            text = _text(file)
        except (OSError, ValueError) as error:
            found.append(Finding(name, 1, f"cannot be read: {error}", "save it as UTF-8 text"))
            continue
        found += _name_findings(file, name)
        found += _text_findings(name, text)
        if file.name == WEBHOOK:
            found += _json_findings(name, text)
        elif not text.strip():
            found.append(Finding(name, 1, "is empty", "write a title, or remove the file"))
    return found


def _paragraph(part: str, known: Mapping[str, str]) -> str:
    """Empty: every name of the paragraph is."""
    if filled_line(part, known) is None:
        return ""
    lines = (filled_line(line, known) for line in part.split("\n"))
    return "\n".join(line.strip() for line in lines if line is not None).strip("\n")


def _walk(node: Any, known: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, str):
        return filled_line(node, known) or ""
    if isinstance(node, list):
        return [_walk(member, known) for member in node]
    if isinstance(node, dict):
        return {key: _walk(member, known) for key, member in node.items()}
    return node


def _built_in() -> Path:
    return _PACKED if _PACKED.is_dir() else _CHECKOUT


def _files(folder: Path | None, *, every: bool = False) -> Iterator[Path]:
    if folder is not None and folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.is_file() and (every or file.suffix == ".txt" or file.name == WEBHOOK):
                yield file


def _text(file: Path) -> str:
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST // 1024} KiB")
    return file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def _name_findings(file: Path, shown: str) -> Iterator[Finding]:
    known = (*(f"{name}.txt" for name in (*TYPES, OTHERS)), WEBHOOK)
    if file.name not in known:
        yield Finding(shown, 1, "no notice uses this file", f"known: {', '.join(known)}")


def _text_findings(shown: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.split("\n"), 1):
        if shown.endswith(WEBHOOK):
            # JSON's own braces are no placeholders: only its texts are looked at.
            line = " ".join(re.findall(r'"(?:[^"\\]|\\.)*"', line))  # noqa: PLW2901 - the same line
        for piece in PIECE.finditer(line):
            if piece[0] in {"{", "}"}:
                hint = "a placeholder is {name}; for a brace write {{ or }}"
                yield Finding(shown, number, f"a single {piece[0]}", hint)
            elif piece[1] is not None and piece[1] not in NAMES:
                hint = f"known: {', '.join(sorted(NAMES))}"
                yield Finding(shown, number, f"unknown placeholder {piece[0]}", hint)


def _json_findings(shown: str, text: str) -> Iterator[Finding]:
    try:
        json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        yield Finding(shown, line, f"is not JSON: {error}", "placeholders stand inside of texts")
