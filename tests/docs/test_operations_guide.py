"""Each case that the seed documents name has its heading; the numbers are the shipped ones."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "DEPLOYMENT_OPERATIONS_GUIDE.md"


@dataclass(frozen=True)
class Case:
    """`words` as line `line` of seed document `document` has them; `heading` in our guide."""

    document: str
    line: int
    words: str
    heading: str


CASES = (
    Case("000", 49, "Identify latest backup", "Roll back"),
    Case("000", 65, "3 consecutive OK health checks", "Roll back"),
    Case("000", 67, "Owners & Escalation", "Contacts"),
    Case("000", 78, "poppler on Windows", "Missing platform dependency"),
    Case("000", 114, "Incident response and escalation", "Incident response"),
    Case("002", 392, "SHA256 checksum mismatch", "Backup integrity failure"),
    Case("002", 397, "Network Connectivity Issues", "Network connectivity issues"),
    Case("002", 406, "Quality Gate False Positives", "Quality gate false positives"),
    Case("002", 413, "Debug Mode", "Debug mode"),
    Case("002", 424, "Log Analysis", "Log analysis"),
    Case("002", 449, "Tune quality gates", "Gates and tuning"),
    Case("002", 456, "backup restore procedures", "Restore data"),
    Case("003", 67, "executes rollback", "Roll back"),
    Case("003", 100, "Webhook/network blocked", "Webhook or network blocked"),
    Case("003", 101, "Missing platform dependency", "Missing platform dependency"),
    Case("003", 102, "Missing artifacts", "Missing artifacts"),
    Case("003", 106, "24–72h telemetry", "Gates and tuning"),
    Case("003", 108, "create incident", "Incident response"),
    Case("004", 103, "Quality gate violations", "Quality gate false positives"),
    Case("004", 104, "Critical smoke test failures", "Critical smoke test failure"),
    Case("004", 201, "Verified connectivity", "Database connectivity"),
    Case("004", 204, "Verified space and permissions", "Storage space and permissions"),
    Case("004", 222, "Webhook connectivity", "Network connectivity issues"),
    Case("004", 223, "Send-only proxy/NAT allowlist", "Webhook or network blocked"),
    Case("004", 224, "File-based fallback", "Webhook or network blocked"),
    Case("004", 246, "Emergency Contacts", "Contacts"),
)


COLUMNS = ("production", "staging", "canary", "development")


def headings():
    return re.findall(r"^#+ (.+)$", GUIDE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.document}:{case.line}")
def test_a_case_of_the_documents_has_its_heading(case):
    """Exactly one."""
    assert headings().count(case.heading) == 1


@pytest.mark.skipif("SEED_DOCUMENTS" not in os.environ, reason="the documents are not here")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.document}:{case.line}")
def test_a_case_stands_where_it_is_said(case):
    """SEED_DOCUMENTS names the folder of the documents."""
    (file,) = Path(os.environ["SEED_DOCUMENTS"]).glob(f"{case.document}_*.txt")
    assert case.words in file.read_text(errors="replace").splitlines()[case.line - 1]


def test_links_inside_the_guide_lead_to_a_heading():
    """A heading that is renamed takes its links along."""
    anchors = {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings()}
    wanted = set(re.findall(r"\]\(#([^)]+)\)", GUIDE.read_text()))
    assert wanted
    assert wanted <= anchors


def test_the_numbers_of_the_gates_are_the_shipped_ones():
    """Of quality-gates-config.json, in the order of the table's columns."""
    shipped = json.loads((ROOT / "quality-gates-config.json").read_text())["environments"]
    for row, key in (
        ("failed health checks in a row, more than", "healthFailures"),
        ("extraction failures, more than", "extractionFailureRate"),
        ("p95 of the hash time, more than", "p95HashTime"),
        ("low-confidence queue, more than", "lowConfidenceQueue"),
    ):
        said = re.search(rf"^\| {row} \|(.+)\|$", GUIDE.read_text(), re.MULTILINE)[1].split("|")
        limits = [shipped[name]["qualityGates"][key]["threshold"] for name in COLUMNS]
        assert [float(re.match(r"[\d.]+", cell.strip())[0]) for cell in said] == limits
