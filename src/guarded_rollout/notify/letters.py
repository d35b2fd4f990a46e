"""`notifications_out/`: what could not be delivered and why, and what dry runs would send."""

import contextlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.notice import Channel, Notice
from guarded_rollout.notify.message import Payload

FOLDER = "notifications_out"
KEPT = "kept"


def keep(
    root: Path, notice: Notice, channel: Channel, payload: Payload, *, status: str, reason: str
) -> str:
    """Write the letter and return its path below the root. The same notice has the same file.

    `payload` has neither address nor key. Raises OSError.
    """
    name = _name(notice, channel, status)
    file = root / FOLDER / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "status": status,
        "reason": reason,
        "channel": channel.name,
        "kind": str(channel.kind),
        "key": notice.key,
        "notice": notice.document(),
        "payload": payload,
    }
    write_whole(file, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
    return f"{FOLDER}/{name}"


def drop(root: Path, notice: Notice, channel: Channel) -> None:
    """The notice was delivered after all."""
    with contextlib.suppress(OSError):
        (root / FOLDER / _name(notice, channel, KEPT)).unlink()


def _name(notice: Notice, channel: Channel, status: str) -> str:
    at = datetime.fromtimestamp(notice.at, UTC).strftime("%Y%m%d_%H%M%S")
    words = (at, notice.environment, notice.type, channel.name, notice.key[:24], status)
    return "_".join(re.sub(r"[^A-Za-z0-9-]+", "-", word)[:60] for word in words) + ".json"
