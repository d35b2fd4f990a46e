"""TOML values know their lines."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.configuration.toml_file import read_toml
from guarded_rollout.core.problems import BadInput


def places(value):
    """Every key's place, and its line."""
    found = {value.place.key: value.place.line}
    members = value.raw.values() if isinstance(value.raw, dict) else value.raw
    if isinstance(value.raw, (dict, tuple)):
        for member in members:
            found |= places(member)
    return found


TRICKY = '''\
# [no.section]
top = 1  # = "no"
"quo.ted" = """
[not.a.section]
a = 1 \\""" ""\"""
after = \'\'\'
x = "'\'\'\'
list = [ # comment ]
  "a]",
  [1, 2], { in = "{", also = [3,
  4] },
]
[a.b]  # before a
c.d = 1
c."e f".'g' = 2
[a]
x = 1
[[items]]
n = 1
[items.sub]
y = {z = 1}
[[items]]
n = 2
[[items.deep]]
w = 1
[[items.deep]]
w = 2
'''


def test_strings_comments_and_brackets_do_not_confuse_the_lines(tmp_path):
    """Sections inside strings are no sections."""
    file = tmp_path / "x.toml"
    file.write_text(TRICKY)
    value = read_toml(file, "x.toml")
    assert value.plain() == tomllib.loads(TRICKY)
    lines = places(value)
    assert {
        "top": 2, "quo.ted": 3, "after": 6, "list": 8, "list[0]": 9, "list[1]": 10,
        "list[2].in": 10, "list[2].also[1]": 11, "a.b": 13, "a.b.c.d": 14, "a.b.c.e f.g": 15,
        "a": 16, "a.x": 17, "items[0]": 18, "items[0].n": 19, "items[0].sub.y.z": 21,
        "items[1]": 22, "items[1].n": 23, "items[1].deep[0].w": 25, "items[1].deep[1].w": 27,
    }.items() <= lines.items()  # fmt: skip


KEY = st.one_of(
    st.text("abcXYZ019_-", min_size=1, max_size=5),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=5).map(
        lambda s: '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ),
    st.text("ab [].=#", max_size=5).map(lambda s: f"'{s}'"),
)
SCALAR = st.sampled_from(
    ["1", "-2.5", "true", "1979-05-27T07:32:00Z", '"a # b"', "'[x]'", '"""a\n[b]\n"""', "'''\n'''",
     "inf", '""', "''", '"\\""']
)  # fmt: skip
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: "[\n" + ",\n ".join(found) + "]"),
        st.lists(inner, max_size=3).map(
            lambda found: (
                "{"
                + ", ".join(f"k{i} = {v.replace(chr(10), '')}" for i, v in enumerate(found))
                + "}"
            )
        ),
    ),
    max_leaves=5,
)
STATEMENT = st.one_of(
    st.builds("{}.{} = {}".format, KEY, KEY, VALUE),
    st.builds("{} = {} # end".format, KEY, VALUE),
    st.builds("[{}.{}]".format, KEY, KEY),
    st.builds("[[ {} ]] # many".format, KEY),
    st.just("# comment"),
)


@given(st.lists(STATEMENT, max_size=8))
def test_whatever_tomllib_reads_gets_lines_within_the_file(tmp_path_factory, statements):
    """The values are tomllib's; a key's line holds the key."""
    text = "\n".join(statements)
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    file = tmp_path_factory.mktemp("toml", numbered=True) / "x.toml"
    file.write_text(text)
    value = read_toml(file, "x.toml")
    assert repr(value.plain()) == repr(expected)
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in places(value).values())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_every_key_stands_in_the_line_that_is_named(tmp_path_factory, gaps):
    """Values of several lines before it do not shift the count."""
    pieces = ["k{} = 1", 'k{} = """\n\n"""', "k{} = [\n1,\n]", "# x\nk{} = ''", "[s{}]\nk{} = 1"]
    text = ""
    wanted = {}
    for number, gap in enumerate(gaps):
        piece = pieces[gap].replace("{}", str(number))
        at = text.count("\n") + 1 + piece.split(f"k{number}")[0].count("\n")
        wanted[f"k{number}"] = at
        text += piece + "\n"
    file = tmp_path_factory.mktemp("toml", numbered=True) / "x.toml"
    file.write_text(text)
    lines = {key.rpartition(".")[2]: line for key, line in places(read_toml(file, "x")).items()}
    assert wanted.items() <= lines.items()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = \n", ("x.toml:2: is not valid TOML, column 5",)),
        ("a = yes\n", ("x.toml:1:", "quotes")),
        ("a = 1\na = 2\n", ("x.toml:2:", "twice")),
        ("[a]\n[a]\n", ("x.toml:2:", "twice")),
        ("a = [1,\n2", ("x.toml:2:", "at the end")),
        ("a = " + "[" * 5000, ("x.toml:1:", "nested too deeply")),
    ],
)
def test_what_is_no_toml_is_refused_with_line_and_column(tmp_path, text, said):
    """And a hint where there is a usual cause."""
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_toml(file, "x.toml")
    for words in said:
        assert words in str(caught.value)
