"""Every fenced command of the seed documents, with its document and line.

The documents are not part of the repository, so what they say to type lies in
`tests/seeds/commands.json`. To make it anew: `python tests/support/seed_commands.py FOLDER`.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "seeds" / "commands.json"
SHELL = "bash"
PIPELINE = "yaml"


@dataclass(frozen=True, slots=True)
class Said:
    """One command as a document writes it. `document`: its first three digits; `line`: from 1."""

    document: str
    line: int
    command: str


def fenced(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, language, line without the fence's indentation) of every line in a fence."""
    language: str | None = None
    margin = 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"^( *)```(\w*) *$", line)
        if fence:
            language = None if language is not None else fence[2]
            margin = len(fence[1])
        elif language is not None:
            yield number, language, line[margin:]


def commands(text: str) -> Iterator[tuple[int, str]]:
    """(line number, command): comments are left out, continued lines are one command."""
    begun: list[str] = []
    first = 0
    for number, language, line in fenced(text):
        if language == PIPELINE and (step := re.match(r"^ +- (\./.+)$", line)):
            yield number, step[1]
        elif language == SHELL and (begun or (line.strip() and not line.startswith("#"))):
            first = first if begun else number
            begun.append(line)
            if not line.endswith("\\"):
                yield first, "\n".join(begun)
                begun = []


def statements(typed: str) -> list[str]:
    """What is typed, command by command: `commands` of the same text in a fence."""
    return [command for _, command in commands(f"```bash\n{typed}\n```")]


def extracted(folder: Path) -> list[Said]:
    """Of every document in the folder, in order."""
    return [
        Said(file.name[:3], number, command)
        for file in sorted(folder.glob("*.txt"))
        for number, command in commands(file.read_text(errors="replace"))
    ]


def kept() -> list[Said]:
    """What lies in the repository."""
    return [Said(**said) for said in json.loads(FILE.read_text())]


def written(said: list[Said]) -> str:
    """The file's text: one command per line."""
    return "[\n" + ",\n".join(json.dumps(asdict(one)) for one in said) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(written(extracted(Path(sys.argv[1]))))
