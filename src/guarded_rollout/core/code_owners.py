"""CODEOWNERS: who must approve a change. The last line that fits a file decides, alone.

Source: https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/
customizing-your-repository/about-code-owners.
"""

from collections.abc import Iterator, Sequence

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks; the first that is there counts."""

_WHY = "# Last, so that it decides: somebody of {group} approves every change."


def owners_of_all(text: str) -> tuple[str, ...]:
    """Who owns every file: the owners of the last line, if that is for all files."""
    rules = list(_rules(text))
    return tuple(rules[-1][1:]) if rules and rules[-1][0] == "*" else ()


def with_owners(text: str, owners: Sequence[str], group: str) -> str:
    """The same text with these owners of everything. One of them is enough, so no others."""
    same = {owner.lower() for owner in owners_of_all(text)} == {one.lower() for one in owners}
    if same:
        return text
    why = _WHY.format(group=group)
    lines = text.splitlines()
    if owners_of_all(text):
        last = max(number for number, line in enumerate(lines) if _rule(line))
        del lines[last]
    kept = [line for line in lines if line != why]
    return "\n".join(
        [*kept, *([""] if kept and kept[-1] else []), why, f"* {' '.join(owners)}", ""]
    )


def _rules(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        rule = _rule(line)
        if rule:
            yield rule


def _rule(line: str) -> list[str]:
    return line.partition("#")[0].split()
