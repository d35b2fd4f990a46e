"""JSON values know their lines, and nothing is overlooked silently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.configuration.json_file import read_json
from guarded_rollout.core.problems import BadInput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def read(folder, text):
    file = folder / "x.json"
    file.write_text(text)
    return read_json(file, "x.json")


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_the_values_are_those_of_the_json_module(tmp_path_factory, value, indent, ascii_only):
    """Whatever the layout."""
    folder = tmp_path_factory.mktemp("json", numbered=True)
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read(folder, text).plain() == value


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.integers()), min_size=1))
def test_every_key_stands_in_the_line_that_is_named(tmp_path_factory, value):
    """Counted in the text itself."""
    folder = tmp_path_factory.mktemp("json", numbered=True)
    text = json.dumps(value, indent=1)
    rows = text.split("\n")
    for key, member in read(folder, text).raw.items():
        assert f'"{key}": ' in rows[member.place.line - 1]


def test_comment_lines_are_allowed_and_slashes_in_text_are_no_comments(tmp_path):
    """The documents' template has a comment where the limits go."""
    value = read(tmp_path, '{\n  // Custom thresholds here\n  "a": "http://b//c" // d\n}')
    assert value.plain() == {"a": "http://b//c"}
    assert value.raw["a"].place.line == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "a": 1,\n}', ("x.json:", "is not valid JSON, column", "comma")),
        ('{\n  "a" 1\n}', ("x.json:2:", "column 7", "missing before this place")),
        ("{a: 1}", ("x.json:1:", "double quotes")),
        ("", ("x.json:1:", "Expecting value")),
        ('{"a": 1} x', ("x.json:1:", "Extra data")),
        ('{\n "a": {\n  "b": 1,\n  "b": 1}}', ("x.json:4: a.b: stands here twice", "line 3")),
        ('{\n "a": [1,\n NaN]}', ("x.json:3: a[1]:", "no usable number")),
        ('{"a": -Infinity}', ("x.json:1: a:", "no usable number")),
        ('{"a": 1e999}', ("x.json:1: a:", "no usable number")),
        ("[" * 100_000, ("x.json:1:", "nested too deeply")),
        ('{"a": ' + "9" * 5000 + "}", ("x.json:1:", "not valid JSON")),
    ],
)
def test_what_is_no_json_is_refused_with_line_and_column(tmp_path, text, said):
    """Duplicate keys too: the json module would take the last one silently."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text)
    for words in said:
        assert words in str(caught.value)


def test_a_key_with_line_breaks_cannot_forge_a_message(tmp_path):
    """It is shown escaped."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, '{"a\\nb": 1, "a\\nb": 2}')
    assert "\n" not in caught.value.why.what


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path):
    """UTF-8 with or without a byte order mark is text; Latin-1 is not."""
    file = tmp_path / "x.json"
    file.write_bytes(b'\xef\xbb\xbf{"a":\r\n 1}')
    assert read_json(file, "x.json").plain() == {"a": 1}
    file.write_bytes(b'{\n"a": "\xe4"}')
    with pytest.raises(BadInput, match=r"x\.json:2: is not UTF-8 text"):
        read_json(file, "x.json")


def test_a_file_that_is_not_there_or_a_folder_is_refused_by_name(tmp_path):
    """With the place where it was looked for."""
    with pytest.raises(BadInput, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json", "x.json")
    with pytest.raises(BadInput, match="y cannot be read"):
        read_json(tmp_path, "y")
