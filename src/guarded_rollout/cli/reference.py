"""The reference pages that are made from the code: `just docs` writes them."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from inspect import cleandoc, formatannotation
from pathlib import Path

from guarded_rollout.cli.commands import build_parser
from guarded_rollout.cli.parser import EXIT_CODES, INTERRUPTED, UNEXPECTED
from guarded_rollout.core import diagram
from guarded_rollout.core.facts import AFTERWARDS, ASKS, KINDS, Fact
from guarded_rollout.core.problems import Problem

_MADE = "Made from the code by `just docs`; a test fails when it is stale.\n"
_EVERYWHERE = ("root", "json", "verbose")
_QUIET = (argparse._HelpAction, argparse._SubParsersAction)  # noqa: SLF001 - they have no public name


def pages() -> dict[str, str]:
    """Every page's text by its file name in docs/reference."""
    return {
        "states.md": diagram.page(),
        "commands.md": commands_page(),
        "exit-codes.md": exit_codes_page(),
        "facts.md": facts_page(),
    }


def parsers(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """(words, parser) of every command and group, the whole command line first."""
    yield words, parser
    for action in parser._actions:  # noqa: SLF001 - there is no public way to look
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, inner in action.choices.items():
                yield from parsers(inner, (*words, name))


def commands_page() -> str:
    """Every command with its options and examples."""
    runnable = {
        words: parser for words, parser in parsers(build_parser()) if parser.get_default("run")
    }
    sample = runnable["status",]
    common = [action for action in sample._actions if action.dest in _EVERYWHERE]  # noqa: SLF001
    parts = [
        f"# Commands\n\n{_MADE}\nEvery command also takes these. [Exit codes](exit-codes.md).\n",
        _options(common),
        *(_command(words, parser) for words, parser in sorted(runnable.items())),
    ]
    return "\n".join(parts)


def exit_codes_page() -> str:
    """What a script can act on."""
    rows = re.findall(r"^  ([\d, ]+?)  +(.+)$", EXIT_CODES, re.MULTILINE)
    named = (kind for kind in Problem.__subclasses__() if kind.__module__ == Problem.__module__)
    kinds = [
        *((kind.__name__, str(kind.exit_code), cleandoc(kind.__doc__ or "")) for kind in named),
        ("a defect", str(UNEXPECTED), "What the tool did not expect. Report what --verbose shows."),
    ]
    return (
        f"# Exit codes\n\n{_MADE}\n"
        f"{_table(('code', 'means'), rows)}\n"
        "argparse ends with 2 on a usage error; here that is 1, because 2 says that users are "
        f"served by the old version. {INTERRUPTED} while following a rollout leaves it to its "
        "guard.\n\n"
        "## Problems\nEach says what happened and, after `->`, what to do now. With `--json` both "
        "are in `error.what` and `error.hint`, the code in `error.exit_code`.\n\n"
        f"{_table(('kind', 'code', 'means'), kinds)}"
    )


def facts_page() -> str:
    """What the journal can hold."""
    which = "A rollout is its facts in order; [states](states.md) says which may follow which."
    parts = [f"# Facts\n\n{_MADE}\n{which} Each is one line of `rollout journal export`.\n"]
    for kind, fact in KINDS.items():
        parts.append(f"## `{kind}`\n{cleandoc(fact.__doc__ or '')}\n\n{_written_by(fact)}\n")
        rows = [(f"`{field.name}`", f"`{_type(field)}`") for field in fields(fact)]
        parts.append(_table(("field", "type"), rows))
    return "\n".join(parts)


def _command(words: tuple[str, ...], parser: argparse.ArgumentParser) -> str:
    about = " ".join((parser.description or "").split())
    examples = (parser.epilog or "").partition("examples:\n")[2].partition("\n\n")[0]
    shown = "\n".join(f"    {line.strip()}" for line in examples.splitlines())
    own = [
        action
        for action in parser._actions  # noqa: SLF001
        if action.dest not in _EVERYWHERE and not isinstance(action, _QUIET)
    ]
    return f"## `rollout {' '.join(words)}`\n{about}\n\n{shown}\n\n{_options(own)}"


def _options(actions: list[argparse.Action]) -> str:
    rows = []
    for action in actions:
        choices = "\\|".join(str(choice) for choice in action.choices or ())
        value = "" if action.nargs == 0 else f" {action.metavar or choices or action.dest.upper()}"
        names = ", ".join(f"{name}{value}" for name in action.option_strings) or value.strip()
        needed = " (required)" if action.required and action.option_strings else ""
        about = (action.help or "").replace("|", "\\|")
        rows.append((f"`{names}`", f"{about}{needed}"))
    return _table(("option", "means"), rows)


def _written_by(fact: type[Fact]) -> str:
    if fact in ASKS:
        return "Written by whoever asks; it needs no lease."
    if fact in AFTERWARDS:
        return "Written by anybody, after the ending too; it moves nothing."
    return "Written by the guard, under its lease, or by the command that begins the rollout."


def _type(field: "Field[object]") -> str:
    shown = formatannotation(field.type)
    return re.sub(r"(?:\w+\.)+(?=\w)", "", shown).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        Path(sys.argv[1], name).write_text(text)
