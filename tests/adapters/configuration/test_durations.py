"""Durations are read as people write them, and guessed never."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.configuration import minutes
from guarded_rollout.adapters.configuration.durations import UNITS, Unclear, seconds
from guarded_rollout.core.problems import BadInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [("60", 3600), ("60m", 3600), ("3600s", 3600), ("1h", 3600), ("0.5", 30), ("5m 30s", 330),
     ("1440", 86400), ("1h30m", 5400), (" 2 min ", 120), ("1500ms", 1.5)],
)  # fmt: skip
def test_the_length_of_a_watch_is_in_minutes_unless_it_says_otherwise(text, expected):
    """The documents' 60, 60m, 3600s and 1h are the same hour."""
    assert minutes(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3600", ("3600 minutes", 'write "3600s"')),
        ("1441", ("more than a day",)),
        ("10 parsecs", ("unknown unit 'parsecs'", "ms, s, m, h, d")),
        ("-5", ("negative",)),
        ("0", ("no time at all",)),
        ("0s", ("no time at all",)),
        ("", ("no duration",)),
        ("soon", ("no duration",)),
        ("1h 30", ("no unit",)),
        ("1e3", ("unknown unit 'e'",)),
        ("inf", ("no duration",)),
        ("nan", ("no duration",)),
        ("99999999h", ("longer than 30 days",)),
        ("9" * 400, ("more than a day",)),
    ],
)
def test_what_is_no_duration_is_refused_with_the_flag_and_a_hint(text, said):
    """Above 1440 a bare number was meant as seconds."""
    with pytest.raises(BadInput) as caught:
        minutes(text)
    message = str(caught.value)
    assert message.startswith("--duration: ")
    assert "\n  -> " in message
    for words in said:
        assert words in message


@given(st.integers(1, 1000), st.sampled_from(sorted(UNITS)))
def test_a_number_with_a_unit_is_their_product(number, unit):
    """With and without a space between them."""
    expected = pytest.approx(number * UNITS[unit])
    if number * UNITS[unit] <= 30 * 86400:
        assert seconds(f"{number}{unit}") == expected
        assert seconds(f"{number} {unit}") == expected


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_unclear(text):
    """Nothing else comes out."""
    with suppress(Unclear):
        assert seconds(text) >= 0
