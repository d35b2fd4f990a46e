"""Sites with real processes. One is shared by a module's stories, each leaving 1.0.0 serving."""

import pytest
from bad_releases import make
from notebook_site import Builds, shared
from site_of_ours import Site


@pytest.fixture(scope="module")
def site():
    """A site where dhash 1.0.0 serves production."""
    with Site() as ours:
        yield ours.serve_first()


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """`releases("slow")` is the source of a bad release, made once."""
    made = {}
    folder = tmp_path_factory.mktemp("releases")

    def source(name, **options):
        key = (name, *sorted(options.items()))
        if key not in made:
            made[key] = make(name, folder / f"{name}-{len(made)}", **options)
        return made[key]

    return source


@pytest.fixture(scope="session")
def builds(tmp_path_factory) -> Builds:
    """Every release is made once."""
    return shared(tmp_path_factory)
