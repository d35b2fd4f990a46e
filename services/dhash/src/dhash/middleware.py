"""What happens around every request: an id, a measurement, a log line, an answer in any case."""

import logging
import re
from collections.abc import Mapping
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dhash.clock import elapsed
from dhash.errors import ServiceError
from dhash.logs import emit, request_id
from dhash.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_QUIET = ("/health", "/metrics")
_CLIENT_LEFT = 499


class Around:
    """Outermost ASGI layer. `templates` gives the path label of each endpoint."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, templates: Mapping[object, str]) -> None:
        self._app = app
        self._metrics = metrics
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = elapsed()
        asked = Headers(scope=scope).get("x-request-id", "")
        identity = asked if _REQUEST_ID.fullmatch(asked) else uuid4().hex
        token = request_id.set(identity)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = identity
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            status = status or _CLIENT_LEFT
        except Exception as error:
            if status:
                raise
            await error_response(error)(scope, receive, send_marked)
        finally:
            self._finish(scope, status or 500, elapsed() - start)
            request_id.reset(token)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        path = self._templates.get(scope.get("endpoint"), "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.observe_request(method, path, status, seconds)
        quiet = path.startswith(_QUIET) and status < 500
        emit(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            f"{method} {path} {status}",
            method=method,
            path=scope["path"],
            status=status,
            seconds=round(seconds, 6),
        )


def error_response(error: Exception) -> JSONResponse:
    """The answer to an error: what is wrong and what to do; never a traceback."""
    if isinstance(error, ServiceError):
        if error.status >= 500:
            emit(
                logging.ERROR if error.__cause__ else logging.WARNING,
                "service_error",
                error.message,
                cause=str(error.__cause__ or ""),
            )
        headers = {"Retry-After": "1"} if error.status == 503 else None
        return _json(error.status, error.message, error.hint, headers)
    logging.getLogger("dhash").error(
        "A request failed: %s", error, exc_info=error, extra={"event": "request_failed"}
    )
    return _json(500, "The service made a mistake.", "The log has it under this request id.")


def _json(
    status: int, message: str, hint: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {"error": message, "hint": hint, "request_id": request_id.get()}
    return JSONResponse(body, status, headers)
