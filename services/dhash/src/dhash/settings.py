"""Settings from the environment; nothing else is read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from dhash.errors import ConfigError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one process of the service is set up.

    `concurrency` is the number of extractions one worker takes at a time before it says 503,
    `pdf_children` the number of PDF readers beside each worker, `queue_warning` the length of
    the review queue above which /health says WARNING.
    """

    database_url: str = "sqlite:///dhash.db"
    environment: str = "development"
    release: str = ""
    log_level: str = "INFO"
    concurrency: int = 32
    pdf_children: int = 2
    queue_warning: int = 1000

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read DHASH_*; a wrong value is a `ConfigError`."""
        env = os.environ if environ is None else environ
        default = cls()
        level = env.get("DHASH_LOG_LEVEL", default.log_level).upper()
        if level not in LOG_LEVELS:
            raise ConfigError(f"DHASH_LOG_LEVEL is {level!r}; use one of {', '.join(LOG_LEVELS)}.")
        return cls(
            database_url=_database_url(env.get("DHASH_DATABASE_URL", default.database_url)),
            environment=env.get("DHASH_ENVIRONMENT", default.environment),
            release=env.get("DHASH_RELEASE", default.release),
            log_level=level,
            concurrency=_positive(env, "DHASH_CONCURRENCY", default.concurrency),
            pdf_children=_positive(env, "DHASH_PDF_CHILDREN", default.pdf_children),
            queue_warning=_positive(env, "DHASH_QUEUE_WARNING", default.queue_warning),
        )


def _positive(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ConfigError(f"{name} is {text!r}; use a whole number above 0.")
    return int(text)


def _database_url(text: str) -> str:
    """The URL with the driver we ship. The URL is never repeated: it may hold a password."""
    scheme, separator, rest = text.partition("://")
    driver = {
        "sqlite": "sqlite+pysqlite",
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
    }.get(scheme)
    if not separator or driver is None:
        raise ConfigError(
            "DHASH_DATABASE_URL must start with sqlite:/// (a file) or postgresql:// "
            f"(a server); it starts with {scheme[:12]!r}."
        )
    if scheme == "sqlite" and (not rest.startswith("/") or rest == "/"):
        raise ConfigError(
            "DHASH_DATABASE_URL names no file; write sqlite:///name.db for one in this folder "
            "or sqlite:////path/name.db for an absolute path."
        )
    return f"{driver}://{rest}"
