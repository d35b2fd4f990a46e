"""What one worker is made of, put together in one place."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from dhash import reviews
from dhash.clock import elapsed
from dhash.database import READERS, WRITERS, Connection, Engine, connect, failure
from dhash.metrics import Metrics
from dhash.pdf_readers import PdfReaders
from dhash.picture import Picture, read_picture
from dhash.settings import Settings
from dhash.windows import READ_EVERY_S, History

T = TypeVar("T")

HASH_THREADS = 2
"""More threads than processors only wait for each other, and for memory."""
QUEUE_CACHE_S = 1.0


@dataclass
class Service:
    """One worker's parts. `root_pid` is the process whose tree the process metrics cover."""

    settings: Settings
    engine: Engine
    metrics: Metrics
    readers: PdfReaders
    root_pid: int
    history: History = field(default_factory=History)
    active: int = 0
    _hashers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(HASH_THREADS, "hash")
    )
    _readers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(READERS, "database-read")
    )
    _writers: ThreadPoolExecutor = field(init=False)
    _queue: tuple[float, reviews.QueueCounts] | None = None

    def __post_init__(self) -> None:
        # SQLite has one writer at a time: waiting in our line is fair, waiting for its lock is
        # a lottery with ever longer pauses.
        count = 1 if self.engine.dialect.name == "sqlite" else WRITERS
        self._writers = ThreadPoolExecutor(count, "database-write")

    @classmethod
    def build(cls, settings: Settings, root_pid: int = 0) -> "Service":
        """All parts, nothing started."""
        return cls(
            settings=settings,
            engine=connect(settings.database_url),
            metrics=Metrics(),
            readers=PdfReaders(settings.pdf_children),
            root_pid=root_pid or os.getpid(),
        )

    async def start(self) -> None:
        await self.readers.start()
        self.history.add(elapsed(), self.metrics.totals())

    async def stop(self) -> None:
        await self.readers.stop()
        self._hashers.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=True)
        self._writers.shutdown(wait=True)
        self.engine.dispose()

    async def watch(self) -> None:
        """Take readings of the counts for as long as the service runs."""
        while True:
            await asyncio.sleep(READ_EVERY_S)
            self.history.add(elapsed(), self.metrics.totals())

    async def hash(self, content: bytes, *, exact: bool) -> Picture:
        """Hash an uploaded picture in one of the two threads; errors as from `read_picture`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._hashers, partial(read_picture, content, exact=exact)
        )

    async def write(self, work: Callable[[Engine], T]) -> T:
        """Run `work`, which opens its own transactions, in a thread for writing.

        Raises DatabaseError for what the database refuses.
        """
        return await self._run(self._writers, work)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` in a transaction that only reads; errors as from `write`."""

        def work(engine: Engine) -> T:
            with engine.connect() as connection:
                return query(connection)

        return await self._run(self._readers, work)

    async def queue(self) -> reviews.QueueCounts:
        """Matches that came to the queue and left it; at most one second old."""
        now = elapsed()
        if self._queue is None or now - self._queue[0] > QUEUE_CACHE_S:
            self._queue = (now, await self.read(reviews.counts))
        return self._queue[1]

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[Engine], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool, work, self.engine)
        except SQLAlchemyError as error:
            raise failure(error) from error
