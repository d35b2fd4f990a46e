"""A small pool of processes that read PDFs, each replaced when it dies or takes too long."""

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dhash import errors
from dhash.errors import BusyError, ServiceError, UnreadableError
from dhash.pdf_frames import HEADER, LENGTH
from dhash.picture import Picture

TIME_LIMIT_S = 120
WAIT_LIMIT_S = 20
"""How long an upload waits for a free reader before the caller is told to come again."""
JOBS_PER_CHILD = 500
"""After that many files a reader is replaced, so that what a library leaks stays small."""

log = logging.getLogger(__name__)


class PdfReaders:
    """The pool. Started and used in one event loop."""

    def __init__(self, size: int, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._children = [_Child() for _ in range(size)]
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._time_limit_s = time_limit_s

    async def start(self) -> None:
        """Start all children; they get ready while the server already answers."""
        for child in self._children:
            await child.start(self._time_limit_s)
            self._idle.put_nowait(child)

    async def stop(self) -> None:
        for child in self._children:
            await child.kill()

    async def read(self, content: bytes, *, exact: bool) -> Sequence[Picture]:
        """The pictures of one PDF.

        Raises UnreadableError (damaged, over the time or memory limit), TooLargeError or
        BusyError.
        """
        try:
            async with asyncio.timeout(WAIT_LIMIT_S):
                child = await self._idle.get()
        except TimeoutError as error:
            raise BusyError("All PDF readers are busy.", "Try again in a moment.") from error
        try:
            async with asyncio.timeout(self._time_limit_s):
                await child.start(self._time_limit_s)
                answer = await child.ask(content, exact=exact)
        except TimeoutError as error:
            await child.kill()
            raise UnreadableError(
                f"The PDF took more than {self._time_limit_s:g} seconds.", "Split it."
            ) from error
        except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError) as error:
            await child.kill()
            raise UnreadableError(
                "Reading the PDF needed too much memory, or crashed the reader.",
                "Split it, or repair it with another program.",
            ) from error
        except BaseException:
            # Half an answer may be on its way; nobody must take it for the next one's.
            await child.kill()
            raise
        finally:
            await self._give_back(child)
        if answer.error:
            raise _error(answer.error)
        return answer.pictures

    async def _give_back(self, child: "_Child") -> None:
        if child.jobs >= JOBS_PER_CHILD:
            await child.kill()
        try:
            await child.start(self._time_limit_s)
        except OSError as error:
            # The next request tries again.
            log.warning("A PDF reader could not be started: %s", error)
        self._idle.put_nowait(child)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Either pictures, or an error's name, message and hint."""

    pictures: Sequence[Picture]
    error: Mapping[str, str]


class _Child:
    """One process; at most one file at a time."""

    def __init__(self) -> None:
        self.jobs = 0
        self._process: Process | None = None

    async def start(self, time_limit_s: float) -> None:
        """Start the process unless it runs."""
        if self._process is not None and self._process.returncode is None:
            return
        self.jobs = 0
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dhash.pdf_child",
            str(os.getpid()),
            str(int(time_limit_s) + 5),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )

    async def ask(self, content: bytes, *, exact: bool) -> "_Answer":
        self.jobs += 1
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConnectionError("The PDF reader is not running.")
        process.stdin.write(HEADER.pack(len(content), exact))
        process.stdin.write(content)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        answer = json.loads(await process.stdout.readexactly(length))
        pictures = [Picture(**picture) for picture in answer.get("pictures", ())]
        return _Answer(pictures, answer.get("error", {}))

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _error(facts: Mapping[str, str]) -> ServiceError:
    error: ServiceError = getattr(errors, facts["name"])(facts["message"], facts["hint"])
    return error
