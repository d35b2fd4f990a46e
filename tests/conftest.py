"""What tests of several folders share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Timings never decide a test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def made_releases(tmp_path_factory) -> None:
    """A release of dhash is built once, whichever test process needs it first."""
    from made_releases import MadeReleases
    from site_of_ours import MADE

    own = tmp_path_factory.getbasetemp()
    in_turns = "PYTEST_XDIST_WORKER" in os.environ
    MADE.append(MadeReleases((own.parent if in_turns else own) / "made-releases"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[object]:
    """One PostgreSQL per test process, started by whoever asks first."""
    from postgres_of_ours import server

    with server() as ours:
        yield ours


@pytest.fixture(scope="session")
def postgres_pool(postgres_server) -> Iterator[int]:
    """The port of one PgBouncer per test process before that server."""
    from pooled_postgres import pool

    with pool(postgres_server) as port:
        yield port


@pytest.fixture
def postgres(postgres_server, monkeypatch) -> Iterator[object]:
    """The server, its tools and the password in the environment; its databases go afterwards."""
    from postgres_of_ours import PASSWORD, binaries

    monkeypatch.setenv("PG_BIN", str(binaries()))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    yield postgres_server
    postgres_server.drop_made()
