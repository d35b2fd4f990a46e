"""What operators and monitors ask: health, metrics, version, integrity."""

import os
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dhash import __version__
from dhash.clock import elapsed
from dhash.errors import ServiceError
from dhash.health import build_health
from dhash.integrity import build_integrity
from dhash.processes import read_processes
from dhash.reviews import QueueCounts
from dhash.service import Service
from dhash.windows import (
    FAILURE_WINDOW_S,
    HASH_WINDOW_S,
    failure_rate_percent,
    quantile_seconds,
)

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


async def get_health(request: Request) -> JSONResponse:
    """200 while OK or WARNING, 503 when critical."""
    health = await build_health(request.app.state.service)
    return JSONResponse(asdict(health), health.http_status)


async def get_version(request: Request) -> JSONResponse:
    """What runs here."""
    settings = request.app.state.service.settings
    return JSONResponse(
        {
            "service": "dhash",
            "version": __version__,
            "release": settings.release,
            "environment": settings.environment,
        }
    )


async def get_integrity(request: Request) -> JSONResponse:
    """200 where all is well, 503 with the list of problems otherwise."""
    report = await build_integrity(request.app.state.service)
    status = "broken" if report.problems else "ok"
    return JSONResponse({"status": status, **asdict(report)}, 503 if report.problems else 200)


async def get_metrics(request: Request) -> Response:
    """Prometheus' text format."""
    service: Service = request.app.state.service
    text = service.metrics.render(
        service.settings.release, await _queue(service), read_processes(service.root_pid)
    )
    return Response(text, media_type=_TEXT_FORMAT)


async def get_dhash_metrics(request: Request) -> JSONResponse:
    """Counts since the start, and rates over the last minutes, as JSON.

    A value that is unknown is null: no uploads have no failure rate.
    """
    service: Service = request.app.state.service
    moment, now = elapsed(), service.metrics.totals()
    recent = service.history.before(moment, FAILURE_WINDOW_S)
    hashed = service.history.before(moment, HASH_WINDOW_S)
    queue = await _queue(service)
    return JSONResponse(
        {
            "version": __version__,
            "release": service.settings.release,
            "extractions_ok_total": now.ok,
            "extractions_failed_total": now.failed,
            "extractions_total": now.ok + now.failed,
            "extraction_failure_rate_percent": failure_rate_percent(now, recent),
            "extraction_failure_window_seconds": FAILURE_WINDOW_S,
            "extractions_in_window": now.ok + now.failed - recent.ok - recent.failed,
            "hashes_total": now.hashes,
            "hash_seconds_total": now.hash_seconds,
            "hash_seconds_buckets": {
                "+Inf" if bound == float("inf") else f"{bound:g}": count
                for bound, count in sorted(now.hash_buckets.items())
            },
            "p50_hash_seconds": quantile_seconds(now, hashed, 0.5),
            "p95_hash_seconds": quantile_seconds(now, hashed, 0.95),
            "hash_window_seconds": HASH_WINDOW_S,
            "hashes_in_window": now.hashes - hashed.hashes,
            "low_confidence_queue_length": queue.length if queue else None,
            "low_confidence_queued_total": queue.queued if queue else None,
            "low_confidence_decided_total": queue.decided if queue else None,
            "matches_total": now.matches,
            "mean_confidence_fraction": now.match_confidence / now.matches if now.matches else None,
            "mean_stable_bits_fraction": now.stable_fraction / now.hashes if now.hashes else None,
            "worker_pid": os.getpid(),
        }
    )


async def _queue(service: Service) -> QueueCounts | None:
    try:
        return await service.queue()
    except ServiceError:
        return None
