"""Takes secrets and personal data out of what is logged, by name and by shape."""

import re
from collections.abc import Mapping

HIDDEN = "[redacted]"
_LONGEST = 16_384

_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|authorization|cookie|credentials?|webhook|dsn|ssn|card[_-]?number|pan|cvv"
)
_SECRET_NAME = re.compile(
    rf"(?:^|[_\W])(?:{_WORDS})(?:$|[_\W])|pass(?:word|wd)|secret|token", re.IGNORECASE
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ in any URL or connection string
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,200}:)[^\s]{1,500}@", re.IGNORECASE),
        rf"\1{HIDDEN}@",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?"), HIDDEN),
    (
        re.compile(
            r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}"
            r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
            r"|\bxox[abeprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}"
        ),
        HIDDEN,
    ),
    # name = value, also in JSON and in query strings
    (
        re.compile(
            rf"((?:\b|_)(?:{_WORDS})(?:_\w{{1,30}})?[\"']?\s{{0,3}}[=:]\s{{0,3}})"
            r"(?!\[redacted\]|(?:bearer|basic)\s)(\"[^\"]{0,500}\"|'[^']{0,500}'|[^\s,;&\"'}]{1,500})",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"), HIDDEN),
    (
        re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}[- ](?!00)\d\d[- ](?!0000)\d{4}(?![\d-])"),
        HIDDEN,
    ),
)
_DIGITS = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")


def redact_text(text: str) -> str:
    """The text with everything secret replaced."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " [cut]"
    for pattern, replacement in _PATTERNS:
        shown = pattern.sub(replacement, shown)
    return _DIGITS.sub(lambda found: HIDDEN if _is_card(found[0]) else found[0], shown)


def redact(value: object, name: str = "") -> object:
    """A field's value made fit for the log, at any depth; JSON types and text only."""
    if name and _SECRET_NAME.search(name) and value is not None:
        return HIDDEN
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return HIDDEN if _is_card(str(value)) else value
    if isinstance(value, Mapping):
        return {redact_text(str(key)): redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return redact_text(str(value))


def _is_card(text: str) -> bool:
    """13 to 19 digits with the check digit of payment cards (Luhn)."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
