"""Logs what it reads, through the service's own logging: to see what becomes of it."""

import json
import logging
from collections.abc import Iterable

from dhash.logs import configure, request_id
from dhash.settings import Settings


def probe(lines: Iterable[str], settings: Settings) -> None:
    """Each line is a JSON object: level, event, message, fields, exception, request_id."""
    configure(settings)
    for line in lines:
        record = json.loads(line)
        token = request_id.set(record["request_id"])
        logging.getLogger("dhash").log(
            getattr(logging, record["level"]),
            "%s",
            record["message"],
            exc_info=_raised(record["exception"]),
            extra={"event": record["event"], "fields": record["fields"]},
        )
        request_id.reset(token)


def _raised(text: str | None) -> RuntimeError | None:
    """An exception with a traceback, as one that was caught."""
    if text is None:
        return None
    try:
        _fail(text)
    except RuntimeError as error:
        return error
    return None


def _fail(text: str) -> None:
    raise RuntimeError(text)
