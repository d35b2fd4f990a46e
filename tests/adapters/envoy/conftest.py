"""A proxy that runs."""

import pytest

from tests.adapters.envoy.world import EnvoyWorld


@pytest.fixture
def world():
    made = EnvoyWorld()
    try:
        made.start()
        yield made
    finally:
        made.close()
