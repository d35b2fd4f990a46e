"""Text that may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.notice import Notice
from guarded_rollout.core.shown_text import fit, one_line, plain, units
from guarded_rollout.notify.text import clean, hide

anything = st.text(alphabet=st.characters(categories=None), max_size=200)


@given(text=anything, limit=st.integers(0, 50))
def test_fit_is_a_beginning_within_the_limit(text, limit):
    """Counted as services count; what is short enough stays as it is."""
    short = fit(text, limit)
    assert units(short) <= limit
    if units(text) <= limit:
        assert short == text
    elif short:
        assert text.startswith(short[:-1])
        assert short.endswith("…")


@given(text=anything)
def test_cleaning_twice_changes_nothing(text):
    """So that a notice can be cleaned wherever it passes."""
    notice = Notice("error", text, text, 1.0, evidence=(text,), look=(text,), key=text)
    assert clean(clean(notice)) == clean(notice)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\tb", "a b"),
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("\u202eabc", "\ufffdabc"),
        ("a\u200bb", "ab"),
        ("\ud800", "?"),
        ("Zürich – 東京 🔥", "Zürich – 東京 🔥"),
    ],
)
def test_what_could_hide_text_is_shown(text, shown):
    """Everything else stays."""
    assert plain(text, 100) == shown


def test_one_line_is_one_line():
    """Whatever it was."""
    assert one_line(" a \r\n\n b\u2029c ", 100) == "a b c"


def test_a_megabyte_keeps_its_beginning():
    """With or without spaces."""
    for text in ("x" * 1_000_000, "word " * 200_000):
        assert plain(text, 100) == f"{text[:99].rstrip()}…"


def test_known_secrets_are_hidden_wherever_they_stand():
    """The longest first."""
    assert hide("no https://h/abc or abc", ("abc", "https://h/abc", "")) == (
        "no [redacted] or [redacted]"
    )
