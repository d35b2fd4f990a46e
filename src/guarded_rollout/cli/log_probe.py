"""Logs what it reads as this tool logs: `python -m guarded_rollout.cli.log_probe FOLDER`."""

import json
import sys
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.redact import redact_value
from guarded_rollout.engine.record import Log
from guarded_rollout.ports import Known


def main(folder: Path) -> None:
    """Each line of standard input is a JSON object: message, fields, exception."""
    clock = SystemClock()
    log = Log(folder, Known("probe", "probe", "deploy", 0.0, None))
    for line in sys.stdin:
        record = json.loads(line)
        more = redact_value(record["fields"]) if record["fields"] else None
        words = [record["message"], record["exception"] and f"({record['exception']})"]
        shown = " ".join(filter(None, words))
        log.say(clock.now(), f"{shown} | {json.dumps(more)}" if more else shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
