"""Both kinds of databases."""

import pytest

from tests.adapters.archive.worlds import KINDS, postgres_world, sqlite_world


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_world(tmp_path)
    return postgres_world(tmp_path, request.getfixturevalue("postgres"))
