"""Notices and answers, made fit to be shown: no secrets, no control characters, not too long."""

from collections.abc import Iterable
from dataclasses import replace

from guarded_rollout.core.notice import Notice
from guarded_rollout.core.redact import MARK
from guarded_rollout.core.shown_text import one_line, plain

LONGEST = 20_000
LONGEST_LINE = 2_000
LONGEST_WORD = 200
MOST_LINES = 50


def clean(notice: Notice) -> Notice:
    """The notice as it may leave this machine, or be written down. Cleaning twice changes nothing.

    What could reorder or hide text on a screen is shown as U+FFFD.
    """
    return replace(
        notice.keyed(),
        type=one_line(notice.type, LONGEST_WORD),
        environment=one_line(notice.environment, LONGEST_WORD),
        message=plain(notice.message, LONGEST),
        service=one_line(notice.service, LONGEST_WORD),
        version=one_line(notice.version, LONGEST_WORD),
        initiator=one_line(notice.initiator, LONGEST_WORD),
        duration=one_line(notice.duration, LONGEST_WORD),
        evidence=_lines(notice.evidence),
        done=plain(notice.done, LONGEST_LINE),
        now=plain(notice.now, LONGEST_LINE),
        look=_lines(notice.look),
        rollout=one_line(notice.rollout, LONGEST_WORD),
    )


def hide(text: str, secrets: Iterable[str]) -> str:
    """What a server or a library said, without the secrets that were used to speak to it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MARK)
    return one_line(text, LONGEST_WORD)


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    kept = [one_line(text, LONGEST_LINE) for text in tuple(texts)[:MOST_LINES]]
    return tuple(filter(None, kept))
