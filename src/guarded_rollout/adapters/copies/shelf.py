"""What a place must be able to do with plain files; `checked` builds the port upon it."""

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol


class Absent(Exception):  # noqa: N818 - an answer of `read`, never shown to people
    """There is no such file on the shelf."""


class Shelf(Protocol):
    """Files under plain names. Every verb raises Broken, naming the place, when the place fails."""

    @property
    def name(self) -> str:
        """What people call it."""

    def sizes(self) -> Mapping[str, int]:
        """Look: every file's bytes."""

    def write(self, file: str, chunks: Iterator[bytes], size: int) -> None:
        """Whole or not at all, replacing what is there; on the disk when this returns.

        What `chunks` raises comes out as it is, and nothing has been written then.
        """

    def read(self, file: str) -> Generator[bytes]:
        """Its bytes, from the storage itself and not from a cache of ours. Absent: no file."""

    def remove(self, file: str) -> None:
        """Delete it. No file, no error."""
