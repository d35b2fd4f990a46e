"""What tests of several folders share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

# Timings never decide a test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[object]:
    """One PostgreSQL per test process, started by whoever asks first."""
    from postgres_of_ours import server

    with server() as ours:
        yield ours


@pytest.fixture
def postgres(postgres_server, monkeypatch) -> Iterator[object]:
    """The server, its tools and the password in the environment; its databases go afterwards."""
    from postgres_of_ours import PASSWORD, binaries

    monkeypatch.setenv("PG_BIN", str(binaries()))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    yield postgres_server
    postgres_server.drop_made()
