"""Conf files are parsed as a shell would read them, and never executed."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.configuration.conf_file import NEVER_EXECUTED, read_conf
from guarded_rollout.core.problems import BadInput


def read(folder, text):
    file = folder / "x.conf"
    file.write_text(text)
    return read_conf(file, "config/x.conf")


def value_of(folder, written):
    return read(folder, f"KEY={written}\n")["KEY"].raw


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("v1.2.3", "v1.2.3"),
        ("2Gi   # comment", "2Gi"),
        ("a#b", "a#b"),
        ('"a b" # c', "a b"),
        ("'$(date) `id` $HOME'", "$(date) `id` $HOME"),
        ('"\\$5 \\"x\\" \\\\ \\n"', '$5 "x" \\ \\n'),
        ("a\\ b", "a b"),
        ("a\"b c\"'d e'", "ab cd e"),
        ("", ""),
        ("''", ""),
        ("100$", "100$"),
        ('"a$ b"', "a$ b"),
    ],
)
def test_a_value_is_what_a_shell_would_make_of_it(tmp_path, written, expected):
    """Quotes, escapes and comments."""
    assert value_of(tmp_path, written) == expected


def test_keys_come_in_order_with_their_lines(tmp_path):
    """Empty lines, comments, spaces and `export` do not matter."""
    found = read(tmp_path, "# head\n\nA=1\r\n  export B = 2\nA=1\n")
    assert [(key, v.raw, v.place.line) for key, v in found.items()] == [
        ("A", "1", 3),
        ("B", "2", 4),
    ]


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)
)
def test_what_shlex_quotes_is_read_back(tmp_path_factory, text):
    """Any text can be written."""
    folder = tmp_path_factory.mktemp("conf", numbered=True)
    assert value_of(folder, shlex.quote(text)) == text


@pytest.mark.parametrize(
    "written",
    [
        "$(rm -rf x)",
        "`id`",
        '"$(id)"',
        '"a `id`"',
        "$HOME/x",
        "${HOME}",
        '"${X:-y}"',
        "a$(b)",
        "$?",
    ],
)
def test_what_a_shell_would_expand_is_refused(tmp_path, written):
    """Not run, not taken literally: the writer meant something else."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, f"# one\nKEY={written}\n")
    assert str(caught.value).startswith(f"config/x.conf:2: KEY: {NEVER_EXECUTED}")
    assert "single quotes" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("DHASH_REPLICAS 3", ("config/x.conf:1: DHASH_REPLICAS: there is no =", "KEY=VALUE")),
        ("!", ("config/x.conf:1: there is no =",)),
        ("A-B=1", ("config/x.conf:1: A: this line is not KEY=VALUE",)),
        ("=1", ("config/x.conf:1: this line is not KEY=VALUE",)),
        ("A='b", ("config/x.conf:1: A: the quote ' is not closed",)),
        ('A="b', ('config/x.conf:1: A: the quote " is not closed',)),
        ("A=b c", ("config/x.conf:1: A: there is more text", "quotes")),
        ("A=b; rm x", ("config/x.conf:1: A: ; means something to a shell", NEVER_EXECUTED)),
        ("A=b|c", ("config/x.conf:1: A: | means",)),
        ("A=1\nA=2", ("config/x.conf:2: A: stands here twice", "line 1", "keep one")),
    ],
)
def test_a_line_that_is_no_setting_is_refused_with_its_key(tmp_path, line, said):
    """File, line, key, and what to do."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, line)
    for words in said:
        assert words in str(caught.value)
