"""SQL as far as migrations need it: statements, and the words in them. Not a parser."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<text>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
           |[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
           |'(?:[^']|'')*(?:'|\Z))
  | (?P<quoted>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))
  | (?P<word>[^\W\d][\w$]*)
  | (?P<other>\d[\w.]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BODIES = frozenset({"trigger", "function", "procedure"})


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    QUOTED = "quoted"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Token:
    """One token. Words are in small letters, quoted names without their quotes."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it was written, comments left out, in one line."""

    text: str
    tokens: tuple[Token, ...]


def normal(sql: str) -> str:
    """The SQL without what does not matter: spaces, comments, needless quotes, case of words."""
    return " ; ".join(" ".join(t.text for t in one.tokens) for one in statements(sql))


def statements(sql: str) -> tuple[Statement, ...]:
    """Every statement that is not empty, in order. Nothing raises, however odd the SQL is."""
    found: list[Statement] = []
    tokens: list[Token] = []
    written: list[str] = []
    depth = 0
    for token, raw in _tokens(sql):
        if token is None:
            written.append(" ")
            continue
        if token == Token(Kind.OTHER, ";") and depth <= 0:
            _close(found, tokens, written)
            tokens, written, depth = [], [], 0
            continue
        tokens.append(token)
        written.append(raw)
        if token.kind is Kind.WORD and _has_body(tokens):
            depth += {"begin": 1, "case": 1, "end": -1}.get(token.text, 0)
    _close(found, tokens, written)
    return tuple(found)


def _close(found: list[Statement], tokens: list[Token], written: list[str]) -> None:
    if tokens:
        found.append(Statement("".join(written).strip(), tuple(tokens)))


def _has_body(tokens: Sequence[Token]) -> bool:
    """A trigger or function may contain statements of its own."""
    return tokens[0].text == "create" and any(token.text in _BODIES for token in tokens[1:6])


def _tokens(sql: str) -> Iterator[tuple[Token | None, str]]:
    for match in _TOKEN.finditer(sql):
        raw = match[0]
        match match.lastgroup:
            case "space":
                yield None, raw
            case "word":
                yield Token(Kind.WORD, raw.lower()), raw
            case "quoted":
                quote = raw[0]
                yield Token(Kind.QUOTED, raw.strip(quote).replace(quote * 2, quote)), raw
            case "other":
                yield Token(Kind.OTHER, raw), raw
            case _:
                yield Token(Kind.TEXT, raw), raw


@dataclass(slots=True)
class Reader:
    """Reads tokens from the left."""

    tokens: Sequence[Token]
    at: int = 0

    def word(self, ahead: int = 0) -> str:
        """The word that comes, or nothing."""
        index = self.at + ahead
        if index < len(self.tokens) and self.tokens[index].kind is Kind.WORD:
            return self.tokens[index].text
        return ""

    def take(self, *words: str) -> bool:
        """These words come: go past them."""
        if all(self.word(ahead) == word for ahead, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def name(self) -> str:
        """A name with its schema: `public.images`. Nothing when no name comes."""
        parts: list[str] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind not in {Kind.WORD, Kind.QUOTED}:
                break
            parts.append(token.text)
            self.at += 1
            if self.at >= len(self.tokens) or self.tokens[self.at].text != ".":
                break
            self.at += 1
        return ".".join(parts)

    def rest(self) -> Sequence[Token]:
        """What is left."""
        return self.tokens[self.at :]


def words(tokens: Sequence[Token]) -> tuple[str, ...]:
    """The words among them."""
    return tuple(token.text for token in tokens if token.kind is Kind.WORD)


def listed(tokens: Sequence[Token]) -> tuple[Sequence[Token], ...]:
    """The parts between commas that stand in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind is Kind.OTHER and token.text in "()":
            depth += 1 if token.text == "(" else -1
        if token == Token(Kind.OTHER, ",") and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return tuple(parts)


def has(tokens: Sequence[Token], *run: str) -> bool:
    """These words stand there, one after the other."""
    texts = [token.text if token.kind is Kind.WORD else "" for token in tokens]
    return any(tuple(texts[at : at + len(run)]) == run for at in range(len(texts)))
