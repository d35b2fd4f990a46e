"""The approved hashes of a fixed set of pictures: whoever changes the hash must say so."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dhash.errors import ConfigError, ServiceError
from dhash.picture import Picture, read_picture
from dhash.uploads import Upload

APPROVED = "golden.json"
SUFFIXES = (".jpg", ".pdf", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Difference:
    """One file whose hashes are not the approved ones."""

    file: str
    approved: object
    found: object

    def __str__(self) -> str:
        return f"{self.file}\n  approved {_line(self.approved)}\n  found    {_line(self.found)}"


def compare(corpus: Path) -> list[Difference]:
    """Every difference between the corpus and its approved hashes.

    Raises ConfigError where the corpus or its file of hashes cannot be read.
    """
    approved = _read_approved(corpus)
    found = _hash_corpus(corpus)
    return [
        Difference(file, approved.get(file), found.get(file))
        for file in sorted(approved.keys() | found.keys())
        if approved.get(file) != found.get(file)
    ]


def approve(corpus: Path) -> None:
    """Make what is found now the approved hashes."""
    text = json.dumps(_hash_corpus(corpus), indent=1, sort_keys=True) + "\n"
    (corpus / APPROVED).write_text(text)


def hash_file(file: Path, *, exact: bool = False) -> Iterator[Picture]:
    """The pictures of a file on disk, in this process; for trusted files only."""
    upload = Upload(file.name, file.read_bytes())
    if upload.is_pdf:
        from dhash.pdf_child import read_pictures  # noqa: PLC0415 - PDFium is slow to load

        yield from read_pictures(upload.content, exact=exact)
    else:
        yield read_picture(upload.content, exact=exact)


def _hash_corpus(corpus: Path) -> dict[str, object]:
    files = sorted(file for file in corpus.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise ConfigError(f"There is no picture in {corpus}.")
    found: dict[str, object] = {}
    for file in files:
        try:
            found[file.name] = [
                {
                    "page": exact.page,
                    "exact": exact.hash,
                    "fast": fast.hash,
                    "stable_bits": exact.stable_bits,
                    "size": f"{exact.width}x{exact.height}",
                }
                for exact, fast in zip(hash_file(file, exact=True), hash_file(file), strict=True)
            ]
        except ServiceError as error:
            found[file.name] = [{"error": str(error)}]
    return found


def _read_approved(corpus: Path) -> dict[str, object]:
    if not corpus.is_dir():
        raise ConfigError(f"There is no folder {corpus}; say --corpus DIR.")
    file = corpus / APPROVED
    if not file.exists():
        return {}
    try:
        approved: dict[str, object] = json.loads(file.read_text())
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON: {error}") from error
    return approved


def _line(value: object) -> str:
    return json.dumps(value) if value is not None else "nothing"
