"""One JSON object per line on standard output."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from dhash import __version__
from dhash.redaction import redact, redact_text
from dhash.settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonFormatter(logging.Formatter):
    """Formats a record with the fields every line has, and its own under their names."""

    def __init__(self, environment: str) -> None:
        super().__init__()
        self._environment = environment

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "timestamp": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "message": redact_text(record.getMessage()),
            "service": "dhash",
            "version": __version__,
            "environment": self._environment,
            "event": getattr(record, "event", record.name),
            "request_id": redact(request_id.get()),
        }
        fields = getattr(record, "fields", None)
        if fields:
            line["fields"] = redact(fields)
        if record.exc_info:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def emit(level: int, event: str, message: str, **fields: object) -> None:
    """Log an event with fields."""
    logging.getLogger("dhash").log(level, message, extra={"event": event, "fields": fields})


def configure(settings: Settings) -> None:
    """Send every logger's records, Python's warnings too, through the JSON formatter."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(settings.environment))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # One line for each part of a form, and for every connection, says nothing to anybody.
    for chatty in ("python_multipart", "PIL", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.INFO, root.level))
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
