"""Does this installation compute and store what it should?"""

import base64
from dataclasses import dataclass

from dhash import gallery
from dhash.database import Connection
from dhash.distance import BANDS
from dhash.errors import ServiceError
from dhash.schema import NEEDED, read_revision
from dhash.service import Service

SAMPLE_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABIAAAAQCAAAAAA+bXCAAAAA5klEQVR42mNkUEUHjNFa6IBxmz46YBQ0QQeMOZbI"
    "wMDS0pLxuB0cmEIoRiVnKLCCMRhqj/KGzn2qW7rlj0vPFZmUNa+NGW6oFu3niVz2yrzlolz2jj+e0x4zGLde16w+"
    "K5axiyduw0/vue8dJzP0PbWZ/Mqx/5ntlNeWE57bTX1sxfDSdeHfyDUcKQdk8k+rN9836nvF4LKULf2EQuMj59l/"
    "YvfJl9+wnMUwnzX7ovmUXwnHlDvfh26SqHviyPAr9YL1XI7iew6rxRof++1UafvIEHrUdClPzZuYw8aLuapeRR00"
    "XAgAP7VufDHcAR8AAAAASUVORK5CYII="
)
SAMPLE_HASH = "5b28268b70583b6a"


@dataclass(frozen=True, slots=True)
class Integrity:
    """`problems` is empty where all is well."""

    schema_revision: str
    schema_needed: str
    sample_hash: str
    counts: dict[str, int]
    problems: list[str]


async def build_integrity(service: Service) -> Integrity:
    """Hash the embedded sample and count rows; DatabaseError where that is impossible."""
    problems: list[str] = []
    try:
        found = (await service.hash(SAMPLE_PNG, exact=True)).hash
    except ServiceError as error:
        found = ""
        problems.append(f"The sample cannot be hashed: {error.message}")
    if found and found != SAMPLE_HASH:
        problems.append(f"The sample's hash is {found}, not {SAMPLE_HASH}.")
    revision, counts = await service.read(_read)
    if revision < NEEDED:
        problems.append(f"The schema is {revision or 'empty'}, needed is {NEEDED}.")
    # Two hashes may share a key only in different bands, so each one has its own four rows.
    if counts["band_keys"] != BANDS * counts["distinct_hashes"]:
        problems.append(
            f"{counts['distinct_hashes']} hashes have {counts['band_keys']} index rows, "
            f"not {BANDS * counts['distinct_hashes']}."
        )
    return Integrity(revision, NEEDED, found, counts, problems)


def _read(connection: Connection) -> tuple[str, dict[str, int]]:
    return read_revision(connection), gallery.counts(connection)
