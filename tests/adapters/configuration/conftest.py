"""A folder with a small, complete configuration, and a way to break it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_configuration import ROLLOUT

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import Spec


class Folder:
    """The folder of one rollout.toml."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("rollout.toml", ROLLOUT)

    def write(self, name: str, text: str | bytes) -> None:
        """Put a file there."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def edit(self, old: str, new: str) -> None:
        """Change rollout.toml in one place."""
        assert ROLLOUT.count(old) == 1, old
        self.write("rollout.toml", ROLLOUT.replace(old, new))

    def gates(self, text: str) -> None:
        """Write the gates file."""
        self.write("quality-gates-config.json", text)

    def load(self, environment: str = "production", gates_file: Path | None = None) -> Spec:
        """The Spec, with an empty process environment."""
        return load_spec(self.path, environment, gates_file, {})

    def problem(self, environment: str = "production") -> str:
        """What the one BadInput says."""
        with pytest.raises(BadInput) as caught:
            self.load(environment)
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def refused(folder: Folder) -> Callable[..., None]:
    """Asserts that the configuration is refused, saying all of these."""

    def check(*words: str, environment: str = "production") -> None:
        said = folder.problem(environment)
        for word in words:
            assert word in said, said

    return check
