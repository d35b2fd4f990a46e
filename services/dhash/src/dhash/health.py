"""How the service is: OK, WARNING, or critical."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import text

from dhash import __version__
from dhash.clock import elapsed
from dhash.database import Connection
from dhash.errors import ServiceError
from dhash.schema import NEEDED, read_revision
from dhash.service import Service

DATABASE_LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `status` is "OK", "WARNING" or "CRITICAL"."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The worst of all checks decides; WARNING still serves."""

    status: str
    version: str
    release: str
    environment: str
    checks: dict[str, Check]

    @property
    def http_status(self) -> int:
        return 503 if self.status == "CRITICAL" else 200


async def build_health(service: Service) -> Health:
    """Look at everything this worker needs to serve."""
    database, queue = await _check_database(service)
    checks = {
        "database": database,
        "review_queue": queue,
        "capacity": _check_capacity(service),
    }
    order = ("OK", "WARNING", "CRITICAL")
    return Health(
        status=max((check.status for check in checks.values()), key=order.index),
        version=__version__,
        release=service.settings.release,
        environment=service.settings.environment,
        checks=checks,
    )


async def _check_database(service: Service) -> tuple[Check, Check]:
    start = elapsed()
    try:
        async with asyncio.timeout(DATABASE_LIMIT_S):
            revision = await service.read(_read)
            length = (await service.queue()).length
    except TimeoutError:
        unknown = Check("WARNING", "unknown")
        return Check("CRITICAL", f"no answer in {DATABASE_LIMIT_S:g} s"), unknown
    except ServiceError as error:
        return Check("CRITICAL", error.message), Check("WARNING", "unknown")
    if revision < NEEDED:
        return Check("CRITICAL", f"schema {revision or 'empty'}, needed {NEEDED}"), Check(
            "OK", f"{length} waiting"
        )
    limit = service.settings.queue_warning
    return (
        Check("OK", f"schema {revision}, {1000 * (elapsed() - start):.1f} ms"),
        Check("WARNING" if length > limit else "OK", f"{length} waiting, limit {limit}"),
    )


def _check_capacity(service: Service) -> Check:
    taken, most = service.active, service.settings.concurrency
    return Check("WARNING" if taken >= most else "OK", f"{taken} of {most} extractions running")


def _read(connection: Connection) -> str:
    connection.execute(text("SELECT 1"))
    return read_revision(connection)
