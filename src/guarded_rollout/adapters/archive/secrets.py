"""Configuration without its secrets: keys stay, values that must not leave the machine become ***.

Works line by line on any text of the form KEY=VALUE, key: value or "key": "value", so that what
is left still reads as the file it was. It errs on the side of hiding.
"""

import io
import re
from dataclasses import dataclass

HIDDEN = "***"

_WORD = re.compile(
    "apikey|auth|authorization|bearer|cookies?|credentials?|dsn|keys?|pass|pin|private|pwd|salt|sig|signature"
    "|tokens?|.*(?:apikey|passwd|passwords?|passphrase|secrets?|token|webhooks?)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[^A-Za-z]+")

_LINE = re.compile(
    r"""^(?P<head>[\s#;/*{,\-]*(?:export\s+|set\s+)?["']?(?P<key>[\w.\-]+)["']?\s*[=:]\s*)"""
    r"(?P<value>.*)$"
)
_KEY_INSIDE = re.compile(r"""["'](?P<key>[\w.\-]+)["']\s*:|[{,]\s*(?P<bare>[\w.\-]+)\s*=""")
_URL_PASSWORD = re.compile(r"(?P<head>[A-Za-z][\w+.\-]*://[^\s/:@\"']*):[^\s\"']+@")
_HOOK_URL = re.compile(
    r"(?P<head>https?://(?:hooks\.slack\.com|(?:\w+\.)?discord(?:app)?\.com/api/webhooks"
    r"|[\w.\-]*webhook\.office\.com|[\w.\-]*logic\.azure\.com)/)[^\s\"']+",
    re.IGNORECASE,
)
_INLINE_KEY = re.compile(r"(?<![\w.\-])[\w.\-]+=")
_INLINE_VALUE = re.compile(r"[^\s&;\"']*")
_BEARER = re.compile(r"(?P<head>\b(?:Bearer|Basic)\s+)[\w.~+/=\-]{8,}", re.IGNORECASE)
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abeprs]-[\w\-]{10,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[\w\-]{8,}\.[\w\-]+\.[\w\-]+)"
)
_PEM = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----")
_OPENING, _CLOSING = "[{(", "]})"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The text without secrets. `lines`: the numbers of the lines that were changed."""

    text: str
    lines: tuple[int, ...]


def without_secrets(text: str) -> Cleaned:
    """The same text with every secret value replaced by three asterisks."""
    cleaned: list[str] = []
    changed: list[int] = []
    inside: _Open | None = None
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        body = line.rstrip("\r\n")
        if inside is not None and inside.ends_before(body):
            inside = None
        if not body.strip():
            new = body
        elif inside is not None:
            new, inside = " " * _indent(body) + HIDDEN, inside.after(body)
        else:
            new, inside = _clean_line(body)
        if new != body:
            changed.append(number)
        cleaned.append(new + line[len(body) :])
    return Cleaned("".join(cleaned), tuple(changed))


def looks_secret(key: str) -> bool:
    """DB_PASSWORD, slackWebhookUrl, api-key: the key says that its value is a secret."""
    words = [word.lower() for word in _SPLIT.split(_CAMEL.sub(" ", key)) if word]
    return any(_WORD.fullmatch(word) for word in words)


@dataclass(frozen=True, slots=True)
class _Open:
    """A secret value that goes on: a quote, brackets, a backslash, an indented block, a PEM key."""

    quote: str = ""
    depth: int = 0
    continued: bool = False
    indent: int = -1
    pem: bool = False

    def ends_before(self, line: str) -> bool:
        """Only an indented block ends so: at the first line that is not indented deeper."""
        return self.indent >= 0 and bool(line.strip()) and _indent(line) <= self.indent

    def after(self, line: str) -> "_Open | None":
        if self.pem:
            return None if _PEM.search(line) else self
        if self.quote:
            return None if self.quote in line else self
        if self.continued:
            return self if line.endswith("\\") else None
        if self.indent >= 0:
            return self
        depth = self.depth + _depth(line)
        return _Open(depth=depth) if depth > 0 else None


def _clean_line(line: str) -> tuple[str, _Open | None]:
    pem = _PEM.search(line)
    if pem:
        return HIDDEN, _Open(pem=True) if pem[1] == "BEGIN" else None
    found = _LINE.match(line)
    if found and looks_secret(found["key"]):
        value = found["value"].rstrip(" ,")
        if not value:
            return line, _Open(indent=_indent(line))
        return found["head"] + _hide(found["value"]), _unfinished(value)
    for inner in _KEY_INSIDE.finditer(line):
        if looks_secret(inner["key"] or inner["bare"]):
            # Several keys on one line: hide from the secret one to the end of the line.
            return line[: inner.end()] + " " + HIDDEN, _unfinished(line[inner.end() :].strip())
    for pattern, to in (
        (_URL_PASSWORD, rf"\g<head>:{HIDDEN}@"),
        (_HOOK_URL, rf"\g<head>{HIDDEN}"),
        (_BEARER, rf"\g<head>{HIDDEN}"),
        (_KNOWN, HIDDEN),
    ):
        line = pattern.sub(to, line)
    return _hide_inline(line), None


def _hide_inline(line: str) -> str:
    """A libpq connection string, the query of a URL."""
    pieces, at = [], 0
    for key in _INLINE_KEY.finditer(line):
        value = _INLINE_VALUE.match(line, key.end())
        if value and value[0] and key.start() >= at and looks_secret(key[0]):
            pieces += [line[at : key.end()], HIDDEN]
            at = value.end()
    return "".join([*pieces, line[at:]])


def _hide(value: str) -> str:
    quote = value[0] if value[0] in "\"'" else ""
    tail = "," if value.rstrip().endswith(",") else ""
    return f"{quote}{HIDDEN}{quote}{tail}"


def _unfinished(value: str) -> _Open | None:
    for quote in ('"""', "'''", '"', "'"):
        if value.startswith(quote):
            return None if quote in value[len(quote) :] else _Open(quote=quote)
    if value.endswith("\\"):
        return _Open(continued=True)
    depth = _depth(value) if value[:1] in _OPENING else 0
    return _Open(depth=depth) if depth > 0 else None


def _depth(text: str) -> int:
    return sum((c in _OPENING) - (c in _CLOSING) for c in text)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
