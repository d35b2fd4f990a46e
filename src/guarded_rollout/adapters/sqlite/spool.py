"""Changes set down once, to be read as often as it takes. Many go to a temporary file."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from guarded_rollout.core.changes import Change

_IN_MEMORY = 64 * 2**20
_ASKED_EVERY = 500


class Spool:
    """The changes, numbered from 0. A context manager: the file goes with it. Raises OSError."""

    def __init__(self, changes: Iterable[Change], go_on: Callable[[], None]) -> None:
        self._go_on = go_on
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - we are one
        self.tables: set[str] = set()
        self.size = 0
        try:
            go_on()
            for change in changes:
                self._put(change)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, Change]]:
        """From the first on. Only one reader at a time."""
        self._file.seek(0)
        for number, line in enumerate(self._file):
            if number % _ASKED_EVERY == 0:
                self._go_on()
            table, key, before, now, beside = json.loads(line)
            yield number, Change(table, tuple(key), before, now, beside)

    def _put(self, change: Change) -> None:
        if self.size % _ASKED_EVERY == 0:
            self._go_on()
        parts = (
            change.table,
            change.key,
            None if change.before is None else dict(change.before),
            None if change.now is None else dict(change.now),
            dict(change.beside),
        )
        self._file.write(json.dumps(parts).encode() + b"\n")
        self.tables.add(change.table)
        self.size += 1
