"""The parser of Prometheus' text: exact on what it takes, silent on nothing it does not."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guarded_rollout.adapters.prometheus_text import Garbled, read_samples

TEXT = r"""
# HELP work_total What was done.
# TYPE work_total counter
work_total{status="ok"} 12
work_total{status="error", why="a \"b\"\\ \n {x=\"1\"} "} 3 1700000000000
work_total_of_others 99
# TYPE queue gauge
queue 4.5e1
	queue  {  } +Inf
# TYPE nothing_yet counter
exemplary_bucket{le="0.1"} 8 # {trace_id="abc"} 0.054
"""


def test_samples_are_read_with_labels_escapes_time_stamps_and_exemplars():
    """Only the wanted names; one that is a prefix of another is not mixed up with it."""
    found = read_samples(
        TEXT, {"work_total", "queue", "nothing_yet", "exemplary_bucket", "unknown"}
    )
    assert found.keys() == {"work_total", "queue", "nothing_yet", "exemplary_bucket"}
    ok, error = found["work_total"]
    assert (ok.labels, ok.value) == ({"status": "ok"}, 12.0)
    assert (error.labels, error.value) == (
        {"status": "error", "why": 'a "b"\\ \n {x="1"} '},
        3.0,
    )
    assert [(s.labels, s.value) for s in found["queue"]] == [({}, 45.0), ({}, math.inf)]
    assert found["nothing_yet"] == []
    assert found["exemplary_bucket"][0].value == 8.0


@pytest.mark.parametrize(
    "line",
    [
        "work_total",
        "work_total twelve",
        "work_total 1_000",
        'work_total{status="ok} 1',
        "work_total{status=ok} 1",
        'work_total{status="ok"} ',
        'work_total{"ok"} 1',
        "work_total 1 2 3",
        'work_total{status="ok"}} 1',
    ],
)
def test_a_line_that_is_not_in_the_format_is_refused_with_what_it_says(line):
    """Never skipped: a number we half understand could decide a rollback."""
    with pytest.raises(Garbled):
        read_samples(f"{line} \n", {"work_total"})


def test_garbage_in_other_metrics_does_not_matter():
    """Only the wanted lines are read."""
    assert read_samples("other{{{ 1\nwork_total 1\n", {"work_total"})["work_total"][0].value == 1


def test_a_text_that_breaks_off_is_refused():
    """12 could have become 1200."""
    with pytest.raises(Garbled, match="breaks off"):
        read_samples("work_total 12", {"work_total"})


@given(st.text(max_size=200))
@example("work_total{")
@example("work_total 1\r\n")
@example("work_total \x1c1\n")
def test_garbage_is_refused_or_read_but_never_anything_else(text):
    """Whatever a service answers."""
    for body in (text, f"work_total{text}\n", f'work_total{{status="{text}"}} 1\n'):
        try:
            found = read_samples(body, {"work_total"})
        except Garbled:
            continue
        assert all(isinstance(s.value, float) for s in found.get("work_total", []))


NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
LABELS = st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
VALUES = st.floats(allow_nan=False)


def written(name, labels, value):
    def escaped(text):
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    inside = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value!r}\n"


@given(st.lists(st.tuples(st.sampled_from(["a_total", "a", "b"]), LABELS, VALUES), max_size=8))
def test_what_is_written_is_read_back(samples):
    """Any labels, any numbers, any order."""
    text = "".join(written(*sample) for sample in samples)
    found = read_samples(text, {"a_total", "a"})
    for name in ("a_total", "a"):
        expected = [(labels, value) for n, labels, value in samples if n == name]
        assert [(s.labels, s.value) for s in found.get(name, [])] == expected


def test_a_large_body_costs_little():
    """Linear in its size: two hundred thousand lines of others, read through in one go."""
    other = "".join(f'other_metric_bucket{{le="{i}",path="/a/b"}} {i}\n' for i in range(200_000))
    found = read_samples(other + "work_total 7\n" + other, {"work_total"})
    assert found["work_total"][0].value == 7
