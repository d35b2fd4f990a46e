"""The databases of `test_database*.py`: each kind, and a shop on it."""

import pytest
from database_kinds import NAMES, kind_of
from database_shop import shop

from guarded_rollout.ports import Database
from guarded_rollout.testing.control import Told


@pytest.fixture(params=NAMES)
def kind(request, tmp_path):
    return kind_of(request.param, tmp_path, request)


@pytest.fixture
def live(kind) -> Database:
    return shop(kind)


@pytest.fixture
def dump(live, tmp_path):
    live.dump(tmp_path / "dump", Told())
    return tmp_path / "dump"
