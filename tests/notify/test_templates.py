"""One templating rule, and a lint that names file, line and placeholder."""

from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.core.notice import TYPES, ChannelKind
from guarded_rollout.notify import Templates, load_templates, render
from guarded_rollout.notify.templates import lint

SHIPPED = Path(__file__).parents[2] / "templates" / "notifications"


def filled(text, notice):
    return Templates({notice.type: text}).fill(notice)


def test_the_rule(notice):
    """Title, paragraphs, empty lines, empty paragraphs, braces."""
    text = (
        "{environment}: {service} {{x}} {initiator}\n"
        "{message}\n\nBy {initiator}\nAlways here\n\nOnly:\n{duration}\n\n  {done}  \n{now}\n"
    )
    done = filled(text, notice)
    assert done.title == "production: dhash {x}"
    assert done.paragraphs == (
        "dhash 1.4.0 is slower than allowed.",
        "The rollback has begun.\nLook at the slow requests.",
    )


def test_values_are_not_templates(notice):
    """A placeholder in a message stays what it is."""
    done = filled("t\n{message}", replace(notice, message="{key} {{x}}"))
    assert done.paragraphs == ("{key} {{x}}",)


def test_an_unknown_name_stays_as_it_is_written(notice):
    """A notice is never lost for a template's sake."""
    assert filled("t\n{mesage}", notice).paragraphs == ("{mesage}",)


def test_a_project_may_have_its_own(tmp_path, notice):
    """For one type; the others stay built in. A file that cannot be read is built in, too."""
    (tmp_path / "gate-breach.txt").write_text("Own {version}\nwords\n")
    (tmp_path / "hold.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "webhook.json").write_text(
        '{"text": "{type}: {message}", "list": ["{version}", 7]}'
    )
    own = load_templates(tmp_path)
    assert render(ChannelKind.SLACK, notice, own)["text"] == "Own 1.4.0"
    held = replace(notice, type="hold")
    assert render(ChannelKind.SLACK, held, own) == render(ChannelKind.SLACK, held)
    hostile = replace(notice, message='"}, "x": {"')
    assert render(ChannelKind.WEBHOOK, hostile, own) == {
        "text": 'gate-breach: "}, "x": {"',
        "list": ["1.4.0", 7],
    }


def test_the_shipped_templates_are_clean_and_complete():
    """Every event has one; what people send has `notice.txt`."""
    assert lint(SHIPPED, "templates/notifications") == []
    events = set(TYPES) - {
        *("info", "success", "warning", "error", "deploy", "rollback", "monitor"),
    }
    assert {file.stem for file in SHIPPED.glob("*.txt")} == events | {"notice"}


@pytest.mark.parametrize(
    ("name", "text", "line", "what"),
    [
        ("hold.txt", "t\n\n{mesage}\n", 3, "unknown placeholder {mesage}"),
        ("hold.txt", "t {\n", 1, "a single {"),
        ("hold.txt", "t\n}\n", 2, "a single }"),
        ("hold.txt", "\n", 1, "is empty"),
        ("held.txt", "t\n", 1, "no notice uses this file"),
        ("webhook.json", '{\n"a": "{nme}"}', 2, "unknown placeholder {nme}"),
        ("webhook.json", '{\n"a": {type}}', 2, "is not JSON"),
        ("hold.txt", b"\xff", 1, "cannot be read"),
        ("hold.txt", "x" * 70_000, 1, "larger than 64 KiB"),
    ],
)
def test_the_lint_names_file_line_and_what(tmp_path, name, text, line, what):
    """And what is known."""
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    found = lint(tmp_path, "t")
    assert [(one.file, one.line) for one in found] == [(f"t/{name}", line)]
    assert what in found[0].what
    assert found[0].hint
