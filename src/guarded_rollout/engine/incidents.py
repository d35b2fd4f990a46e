"""The files of an incident: its page, its document, the logs of both arms, a root cause to fill in.

`incidents/INC-<rollout>.md`, `.json`, `INC-<rollout>/<replica>.log`, `INC-<rollout>-rca.md`.
"""

import json
import re
from pathlib import Path
from typing import Any

from guarded_rollout.core.announcing import INCIDENTS
from guarded_rollout.core.filling import filled_page
from guarded_rollout.core.incident import (
    Attached,
    Incident,
    incident_document,
    incident_of,
    incident_page,
    incident_summary,
    rca_values,
)
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.redact import redact
from guarded_rollout.core.shown_text import visible
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.record import spoken
from guarded_rollout.ports import Issue, Journal, Papers, Ports, Target

MOST_LOG_BYTES = 2**20
_MARGIN = 64 * 1024
"""Read before the part that is kept: a secret of several lines must be seen whole."""

RCA_TEMPLATE = "incident/rca.md"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]")
_END_OF_KEY = re.compile(r"\A.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_BEGIN_OF_KEY = "-----BEGIN "


def utc(unix: float) -> str:
    """`2026-11-21 03:15:00 UTC`."""
    return f"{spoken(unix)} UTC"


def read_incident(journal: Journal, rollout: str) -> Incident | None:
    """Look: the incident as the journal has it; None: there was none."""
    entries = journal.entries(rollout)
    return incident_of(rollout, ((entry.seq, entry.at, entry.fact) for entry in entries))


def keep_incident(ports: Ports, rollout: str, *, logs: bool = True) -> tuple[str, ...]:
    """Write an incident's files anew; nothing without one. Returns their names below the root.

    `logs` False: this is not the machine that has them. Broken when the disk does not take it.
    """
    incident = read_incident(ports.journal, rollout)
    if incident is None:
        return ()
    base = f"{INCIDENTS}/{incident.name}"
    attached = _attach(ports.papers, ports.target if logs else None, incident)
    document = incident_document(incident, attached, utc)
    ports.papers.write(f"{base}.json", json.dumps(document, indent=2, sort_keys=True) + "\n")
    ports.papers.write(f"{base}.md", incident_page(incident, attached, utc))
    rca = f"{base}-rca.md"
    if ports.papers.written(rca) is None:
        page = filled_page(ports.papers.template(RCA_TEMPLATE), rca_values(incident, utc))
        ports.papers.write(rca, page)
    return f"{base}.md", f"{base}.json", rca


def issue_of(journal: Journal, rollout: str) -> Issue | None:
    """Look: what the incident's issue is made of; None: there is no incident."""
    incident = read_incident(journal, rollout)
    if incident is None:
        return None
    return Issue(
        name=incident.name,
        environment=incident.account.environment,
        since=incident.account.began,
        title=incident.title,
        body="\n".join(incident_summary(incident, utc)),
    )


def _attach(papers: Papers, target: Target | None, incident: Incident) -> tuple[Attached, ...]:
    """The logs, taken again when the rollout moved on, and else left as they were taken.

    Later a release may run again under the same name: its log is not this incident's.
    """
    before = _taken(papers, incident)
    if before is not None or target is None:
        return before or ()
    plan = incident.account.plan
    found: list[Attached] = []
    for release in (plan.candidate, plan.baseline, plan.control):
        if release is not None:
            found += _logs_of(papers, target, incident, release)
    return tuple(found)


def _taken(papers: Papers, incident: Incident) -> tuple[Attached, ...] | None:
    """What was attached at this phase already; None: nothing was."""
    text = papers.written(f"{INCIDENTS}/{incident.name}.json")
    try:
        known: dict[str, Any] = json.loads(text or "null") or {}
        if known.get("phase") != incident.account.phase or not known["logs"]:
            return None
        return tuple(Attached(**one) for one in known["logs"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _logs_of(
    papers: Papers, target: Target, incident: Incident, release: Release
) -> list[Attached]:
    logs = target.logs(release)
    if not logs:
        return [Attached(release.name, "", "", 0, "it has no log on this machine")]
    return [_log(papers, incident, release, name, file) for name, file in logs.items()]


def _log(papers: Papers, incident: Incident, release: Release, replica: str, log: Path) -> Attached:
    name = f"{_NOT_IN_NAMES.sub('_', replica)}.log"
    try:
        text, cut = last_part(log)
        papers.write(f"{incident.folder}/{name}", text)
    except (OSError, Problem) as error:
        what = error.why.what if isinstance(error, Problem) else error.strerror or str(error)
        return Attached(release.name, replica, "", 0, f"not attached: {what}")
    note = f"the last {MOST_LOG_BYTES // 1024} KiB of it" if cut else ""
    return Attached(release.name, replica, name, len(text.encode()), note)


def last_part(log: Path, most: int = MOST_LOG_BYTES) -> tuple[str, bool]:
    """The end of a log, redacted, whole lines, at most `most` bytes; and whether more was there.

    Raises OSError.
    """
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - most - _MARGIN))
        data = file.read(most + _MARGIN)
    cut = size > len(data)
    text = data.decode("utf-8", "replace")
    if cut:
        text = _from_a_line(text)
        first = _END_OF_KEY.match(text)
        if first is not None and _BEGIN_OF_KEY not in first[0]:
            text = text[first.end() :]
    text = redact(visible(text))
    shown = text.encode()
    if len(shown) > most:
        return _from_a_line(shown[-most:].decode("utf-8", "ignore")), True
    return text, cut


def _from_a_line(text: str) -> str:
    """Without the first line, which may be the end of a secret."""
    return text.partition("\n")[2]
