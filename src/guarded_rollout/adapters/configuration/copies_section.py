"""The `[[environments.<name>.copies]]` sections of rollout.toml: where backups are copied to."""

import re
from urllib.parse import urlsplit

from guarded_rollout.adapters.configuration.located import Value, given, quoted
from guarded_rollout.core.hosts import loopback
from guarded_rollout.core.spec import CopyPlace

FOLDER, S3 = "folder:", "s3://"
OPTIONAL = ("endpoint", "required", "retention_days")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")
_EXAMPLES = 'write "folder:/mnt/backup/NAME" or "s3://BUCKET/PREFIX"'


def read_copies(value: Value, days: int) -> tuple[CopyPlace, ...]:
    """The places, each once. `days`: the environment's own retention."""
    found: dict[str, CopyPlace] = {}
    for member in value.members():
        place = _place(member, days)
        if place.name in found:
            raise member.problem(
                f"{quoted(place.name)} is named twice", "a second copy needs a place of its own"
            )
        found[place.name] = place
    return tuple(found.values())


def _place(value: Value, days: int) -> CopyPlace:
    fields = value.table(required=("to",), optional=OPTIONAL)
    to, endpoint = _to(fields["to"]), fields.get("endpoint")
    if endpoint is not None and not to.startswith(S3):
        raise endpoint.problem("belongs to an s3:// place", "take it out: a folder has no server")
    return CopyPlace(
        to=to,
        endpoint=given(endpoint, _endpoint, None),
        required=given(fields.get("required"), Value.flag, default=False),
        retention_days=given(
            fields.get("retention_days"), lambda at: at.whole(1, 3650, "days"), days
        ),
    )


def _to(value: Value) -> str:
    text = value.text()
    if text.startswith(FOLDER):
        return FOLDER + _absolute(value, text.removeprefix(FOLDER))
    if not text.startswith(S3):
        raise value.problem(f"{quoted(text)} is no place that is known", _EXAMPLES)
    bucket, slash, prefix = text.removeprefix(S3).partition("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise value.problem(
            f"{quoted(bucket)} is no bucket's name",
            "3 to 63 lower-case letters, digits, dots and hyphens; keys and passwords belong into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment",
        )
    prefix = prefix.rstrip("/")
    if slash and prefix and (_PREFIX.fullmatch(prefix) is None or ".." in prefix.split("/")):
        raise value.problem(f"{quoted(prefix)} cannot be a prefix", _EXAMPLES)
    return f"{S3}{bucket}/{prefix}" if prefix else f"{S3}{bucket}"


def _absolute(value: Value, path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or not path.strip("/"):
        raise value.problem(
            f"{quoted(path)} must be an absolute path, on another disk than the backups",
            _EXAMPLES,
        )
    return "/" + "/".join(part for part in parts if part not in {"", "."})


def _endpoint(value: Value) -> str:
    text = value.text().rstrip("/")
    example = 'write "https://HOST" or "https://HOST:PORT"'
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise value.problem(f"{quoted(text)} is no URL", example) from None
    if url.username is not None or url.password is not None:
        raise value.problem(
            "contains a user or a password",
            "put keys into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment",
        )
    if url.scheme not in {"http", "https"} or not host or url.path or url.query or url.fragment:
        raise value.problem(f"{quoted(text)} is no server's URL", example)
    if url.scheme == "http" and not loopback(host):
        raise value.problem(
            "http would send backups over the network unencrypted",
            "write https://; http is for a server on this machine only",
        )
    return text
