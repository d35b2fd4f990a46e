"""The kernel's file locks, `fcntl`. Where Python has none, modules still import: looking works."""

import sys
from typing import NoReturn

from guarded_rollout.core.problems import NotPossible

if sys.platform == "win32":

    class _Nowhere:
        """Stands in for the module; whatever is asked of it is refused."""

        def __getattr__(self, name: str) -> NoReturn:
            raise NotPossible(
                f"{sys.platform} has no file locks as Linux and macOS have them",
                "run this on Linux or macOS; in WSL it works too",
            )

    fcntl = _Nowhere()
else:
    import fcntl

__all__ = ["fcntl"]
