"""The ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dhash import extract_api, queue_api, status_api
from dhash.errors import ServiceError
from dhash.logs import request_id
from dhash.middleware import Around, error_response
from dhash.service import Service

ROUTES = (
    ("GET", "/health", status_api.get_health),
    ("GET", "/version", status_api.get_version),
    ("GET", "/integrity", status_api.get_integrity),
    ("GET", "/metrics", status_api.get_metrics),
    ("GET", "/metrics/dhash", status_api.get_dhash_metrics),
    ("POST", "/api/dhash/extract", extract_api.post_extract),
    ("POST", "/api/dhash/match", extract_api.post_match),
    ("GET", "/api/dhash/queue", queue_api.get_queue),
    ("GET", "/api/dhash/queue/export", queue_api.get_export),
    ("POST", "/api/dhash/queue/import", queue_api.post_import),
    ("POST", "/api/dhash/queue/{review_id:int}", queue_api.post_decision),
)


def build_app(service: Service) -> Starlette:
    """The application around one worker's service."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await service.stop()

    app = Starlette(
        routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in ROUTES],
        middleware=[
            Middleware(
                Around,
                metrics=service.metrics,
                templates={endpoint: path for _, path, endpoint in ROUTES},
            )
        ],
        exception_handlers={ServiceError: _service_error, HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


async def _service_error(_request: Request, error: Exception) -> JSONResponse:
    return error_response(error)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    paths = ", ".join(sorted({path for _, path, _ in ROUTES}))
    hint = f"There is: {paths}" if status == 404 else ""
    headers = error.headers if isinstance(error, HTTPException) else None
    body = {"error": f"{detail}.", "hint": hint, "request_id": request_id.get()}
    return JSONResponse(body, status, headers)
