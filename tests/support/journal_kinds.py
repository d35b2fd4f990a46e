"""Journals of each kind for tests, with a clock that the test moves; PostgreSQL's is its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pooled_postgres import PROGRAM
from postgres_of_ours import Server
from still_clock import StillClock

from guarded_rollout.adapters.journal.postgres import PostgresJournal
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.adapters.postgres import Access
from guarded_rollout.ports import Journal
from guarded_rollout.testing.journal import MemoryJournal

NOON = 1_800_014_400.25


class ServersHand:
    """A clock that is moved by hand, and a server's `now_seconds()` says what it says."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name
        self._at = NOON
        self._run(
            "CREATE TABLE public.hand AS SELECT 0::double precision AS at",
            "CREATE OR REPLACE FUNCTION guarded_rollout.now_seconds() RETURNS double precision"
            " LANGUAGE sql VOLATILE AS $$ SELECT at FROM public.hand $$",
        )
        self.at = NOON

    @property
    def at(self) -> float:
        return self._at

    @at.setter
    def at(self, at: float) -> None:
        self._at = at
        self._run(f"UPDATE public.hand SET at = {at!r}")

    def now(self) -> float:
        raise AssertionError("the journal asked for this machine's time")

    def monotonic(self) -> float:
        return self._at

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.at += seconds

    def _run(self, *statements: str) -> None:
        self._server.run(*statements, name=self._name, user="dhash")


Opens = Callable[[], Journal]


def memory(_folder: Path, _request: Any) -> tuple[Any, Opens]:
    clock = StillClock(NOON)
    journal = MemoryJournal(clock)
    return clock, lambda: journal


def sqlite(folder: Path, _request: Any) -> tuple[Any, Opens]:
    clock = StillClock(NOON)
    return clock, lambda: SqliteJournal(folder / "journal.db", clock, folder / "locks")


def postgres(_folder: Path, request: Any) -> tuple[Any, Opens]:
    server = request.getfixturevalue("postgres")
    access = made(server)
    PostgresJournal(access, StillClock(NOON)).close()
    clock = ServersHand(server, access.name)
    return clock, lambda: PostgresJournal(access, clock)


def pooled(_folder: Path, request: Any) -> tuple[Any, Opens]:
    """Through a proxy that gives every transaction another session."""
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer: apt-get install pgbouncer")
    server = request.getfixturevalue("postgres")
    port = request.getfixturevalue("postgres_pool")
    access = replace(made(server), port=port)
    PostgresJournal(access, StillClock(NOON)).close()
    clock = ServersHand(server, access.name)
    return clock, lambda: PostgresJournal(access, clock)


def made(server: Server) -> Access:
    """An empty database of its own."""
    return server.database().access


KINDS = {"memory": memory, "sqlite": sqlite, "postgres": postgres, "pooled": pooled}
