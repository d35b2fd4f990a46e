"""A right logger, and the same one broken by a switch: `broken_logger.py SWITCH < records`.

It logs as rollout.toml's `[service.logging]` wants: JSON lines of records in, structured lines out.
"""

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SAID = {"service": "toy", "version": "1.0.0", "environment": "staging"}


def line_of(record, redact, redact_value):
    """The structured line. `redact` hides secrets in a text, `redact_value` in any JSON value."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {
        "timestamp": now,
        "level": record["level"],
        "message": redact(record["message"]),
        "event": record["event"],
        "request_id": record["request_id"],
        **SAID,
    }
    if record["fields"]:
        line["fields"] = redact_value(record["fields"])
    if record["exception"]:
        line["exception"] = redact(f"Traceback (most recent call last):\n{record['exception']}")
    return line


def spoil(switch, record, line, secrets):  # noqa: PLR0912 - one branch per way to be broken
    """The line as a logger broken in this way would have it; None: it drops it."""
    kind, _, place = switch.partition("@")
    number = int(re.match(r"\[p\d+n(\d+)\]", record["message"])[1])
    if switch == "loses" and number % 10 == 5:
        return None
    if switch == "cuts long lines":
        line["message"] = line["message"][:4000]
    if switch == "redacts too much":
        line["message"] = re.sub(r"[0-9a-f]{32,}", "[redacted]", line["message"])
    if switch == "redacts numbers in fields":
        line["fields"] = {"count": "[redacted]"}
    if switch == "label" and record["level"] == "WARNING":
        line["level"] = "INFO"
    if switch == "level name":
        line["level"] = record["level"].lower()
    if switch == "timestamp":
        line["timestamp"] = "Sat Nov 21 21:00:00 2026"
    if switch == "no exception":
        line.pop("exception", None)
    if switch == "event":
        line["event"] = "log"
    if switch.startswith("without "):
        del line[switch.removeprefix("without ")]
    if switch.startswith("other "):
        line[switch.removeprefix("other ")] = "other"
    if switch == "drops secrets" and "[redacted]" in json.dumps(line):
        return None
    if place and secrets.get(number) == (kind, place):
        name = {"message": "message", "exception": "exception"}.get(place, "fields")
        line[name] = record[name]
    return line


def write(switch, line):
    """One line, in one piece."""
    number = int(re.match(r"\[p\d+n(\d+)\]", line["message"])[1])
    text = json.dumps(line) + "\n"
    if switch == "no JSON":
        text = f"{line['timestamp']} {line['level']} {line['message']}\n"
    if switch == "tears" and len(text) > 4096:
        text = text[:4096] + "\n" + text[4096:]
    if switch == "breaks lines":
        text = text.replace("\\n", "\n")
    if switch == "twice" and number % 10 == 5:
        text *= 2
    os.write(1, text.encode())


def main(switch):
    """Until its input is over."""
    from guarded_rollout.core.log_records import hidden
    from guarded_rollout.core.redact import redact, redact_value

    secrets = {number: (case.kind, case.place) for number, case in enumerate(hidden())}
    lowest = "INFO" if switch == "level" else os.environ.get("TOY_LEVEL", "INFO")
    held = None
    if switch == "no append":  # a second way to the same file, which does not follow a truncation
        os.dup2(os.open("/proc/self/fd/1", os.O_WRONLY), 1)
    if switch == "own mode":
        os.fchmod(1, 0o644)
    if switch == "keeps copies":
        os.close(os.open(f"{Path('/proc/self/fd/1').readlink()}.2", os.O_CREAT, 0o600))
    for text in sys.stdin:
        record = json.loads(text)
        if LEVELS.index(record["level"]) < LEVELS.index(lowest):
            continue
        line = spoil(switch, record, line_of(record, redact, redact_value), secrets)
        if line is None:
            continue
        if switch == "shuffles" and "n3]" in record["message"]:
            held = line
            continue
        write(switch, line)
        if held is not None:
            write(switch, held)
            held = None
    return 1 if switch == "fails" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
