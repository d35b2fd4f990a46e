"""Text of strangers in documents: it is shown as it is, and nothing reads it."""

import pytest
from markdown_it import MarkdownIt

from guarded_rollout.core.markdown import block, span, table

READER = MarkdownIt("commonmark").enable("table")

HOSTILE = (
    "`code` and ``more``",
    "# heading",
    "[link](https://evil.example)",
    "<script>alert(1)</script>",
    "@everyone please",
    "a | b \\| c",
    "```\nescaped?\n```",
    "<!-- guarded-rollout -->",
    "line\nbreak\r\nand \u2028 more",
    "\x1b[31mred\x07",
    "\u202eright to left",
    "![x](y)",
    "~~~",
    "    ",
    "",
)
SECRETS = ("password=hunter2secret", "Bearer abcdefghijklmnop1234", "ghp_" + "a" * 36)


@pytest.mark.parametrize("text", [*HOSTILE, *SECRETS])
def test_a_span_is_nothing_but_text(text):
    """Parsed by a real reader: one code span, nothing else."""
    paragraph = READER.parse(f"it is {span(text)} here")[1]
    told = [child for child in paragraph.children if child.type != "text"]
    assert [child.type for child in told] == ([] if span(text) == "-" else ["code_inline"])
    assert "\n" not in span(text)
    assert not set(span(text)) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize("text", [*HOSTILE, *SECRETS])
def test_a_table_keeps_its_columns(text):
    """A bar in a cell ends no cell."""
    page = "\n".join(table(("one", "two"), [(text, "end"), ("x", text)]))
    tokens = READER.parse(page)
    cells = [i for i, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 4
    for at in cells:
        assert {child.type for child in tokens[at + 1].children} <= {"code_inline", "text"}


@pytest.mark.parametrize("text", [*HOSTILE, *SECRETS])
def test_a_block_ends_where_it_ends(text):
    """Whatever fences are in it."""
    tokens = READER.parse("\n".join([*block(["  before", text, "after"]), "", "x"]))
    paragraph = ["paragraph_open", "inline", "paragraph_close"]
    assert [token.type for token in tokens] == ["fence", *paragraph]
    assert tokens[0].content.startswith("  before\n")


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_do_not_get_through(text):
    """In any of the three."""
    for shown in (span(text), "".join(block([text])), "".join(table(("a",), [(text,)]))):
        assert "[redacted]" in shown
        assert text not in shown
