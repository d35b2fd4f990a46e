"""Reports of checks: what people read, and JUnit XML that Ant's and Jenkins' schemas take."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.check_report import CheckReport, Result

TEXT = st.text(max_size=30)
RESULTS = st.lists(
    st.builds(
        Result,
        TEXT,
        st.floats(0, 1e6),
        st.none() | TEXT,
        st.sampled_from(["api", ""]),
        st.sampled_from(["critical", ""]),
        TEXT,
    ),
    max_size=4,
).map(tuple)

ATTRIBUTES = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"},
        {"skipped"},
    ),
    "properties": (set(), set()),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, set()),
    "failure": ({"type"}, {"message"}),
    "system-out": (set(), set()),
    "system-err": (set(), set()),
}
"""Required and allowed in the stricter of the two schemas (the one of Ant)."""
CHILDREN = {
    "testsuites": r"(testsuite )*",
    "testsuite": r"properties (testcase )*system-out system-err ",
    "properties": r"(property )*",
    "testcase": r"(failure )?",
}
PATTERNS = {
    "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}",
    "time": r"[0-9]+\.[0-9]+",
    "tests": "[0-9]+",
    "failures": "[0-9]+",
    "errors": "[0-9]+",
    "skipped": "[0-9]+",
    "id": "[0-9]+",
    "hostname": r".+",
}


def report(*results):
    return CheckReport("smoke checks", "staging", "2026-11-21T03:15:00", "host:1", results, ("a",))


def valid(element):
    """Raises AssertionError where an element is not what the schema says."""
    required, allowed = ATTRIBUTES[element.tag]
    assert required <= set(element.attrib) <= required | allowed, element.tag
    children = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(CHILDREN.get(element.tag, ""), children), (element.tag, children)
    for name, pattern in PATTERNS.items():
        assert re.fullmatch(
            pattern,
            element.get(name, "2026-11-21T03:15:00")
            if name == "timestamp"
            else element.get(name, "1.0" if name == "time" else "1"),
        )
    for child in element:
        valid(child)


@given(RESULTS)
def test_junit_is_what_the_schemas_want_whatever_was_said(results):
    """Control characters and half surrogates are no XML; the counts are right."""
    made = report(*results)
    root = ET.fromstring(made.junit())
    valid(root)
    (suite,) = root
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(results)
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) == len(made.failed)


def test_a_schema_that_would_take_anything_is_none():
    """The validator of this test refuses."""
    root = ET.fromstring(report(Result("a", 1.0, "b")).junit())
    root[0].remove(root[0].find("properties"))
    with pytest.raises(AssertionError):
        valid(root)


def test_a_report_for_people_has_every_result_and_the_count():
    """Redaction is the writer's task, except in XML."""
    made = report(
        Result("health", 1.25, None, "api", "critical"),
        Result("auth", 2.0, "got password=hunter2", "security", "standard", "3 requests"),
    )
    lines = made.lines()
    assert lines[0] == "smoke checks in staging, 2026-11-21T03:15:00 UTC, host:1"
    assert lines[2].startswith("ok      critical/api         health ")
    assert lines[3].endswith("3 requests; got password=hunter2")
    assert lines[4] == "1 of 2 checks failed"
    assert "hunter2" not in made.junit()
    assert report(Result("a", 1.0, None)).lines()[-1] == "all 1 checks passed"
