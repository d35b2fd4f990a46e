"""The text of a pull request: the template, with its ticks and the evidence below each."""

import re
from collections.abc import Iterable

from guarded_rollout.core.filling import filled_page
from guarded_rollout.core.markdown import span
from guarded_rollout.core.pull_checklist import Item, Mark, Seen

_LINK = re.compile(r"https://[A-Za-z0-9./_~%#?&=:+-]+")


def body_text(template: str, items: Iterable[Item], title: str, pull: str, head: str) -> str:
    """`pull`: its address, empty when it is not known. Everything from outside is code or a link.

    Names of the template: the items' keys for their ticks, KEY_seen for what was seen, title,
    pull, head.
    """
    where = pull if _LINK.fullmatch(pull) else span(pull or "not looked up")
    known = {"title": span(title), "pull": where, "head": head}
    for item in items:
        known[item.key] = "x" if item.mark is Mark.PROVEN else " "
        known[f"{item.key}_seen"] = "\n".join(_lines(item))
    return filled_page(template, known)


def _lines(item: Item) -> list[str]:
    seen = [f"  - {_shown(one)}" for one in item.seen]
    return seen if item.mark is Mark.PROVEN else [*seen, f"  - {item.mark}: {span(item.why)}"]


def _shown(seen: Seen) -> str:
    text = span(seen.text)
    return f"[{text}]({seen.url})" if _LINK.fullmatch(seen.url) else text
