"""Whether the values of one column type fit into another."""

from enum import StrEnum


class Change(StrEnum):
    FREE = "free"
    REWRITE = "rewrite"
    NARROWER = "narrower"


_ALIASES = {"int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint"}
_WHOLE = ("smallint", "integer", "bigint")


def change(old: str | None, new: str) -> Change:
    """Whether every old value fits, and whether PostgreSQL must touch each."""
    if old is None:
        return Change.NARROWER
    (was, was_size), (becomes, size) = _type_of(old), _type_of(new)
    if (was, was_size) == (becomes, size):
        return Change.FREE
    if {was, becomes} <= {"varchar", "text"}:
        fits = not size or (bool(was_size) and was_size[0] <= size[0])
        return Change.FREE if fits else Change.NARROWER
    if was in _WHOLE and becomes in _WHOLE:
        wider = _WHOLE.index(was) < _WHOLE.index(becomes)
        return Change.REWRITE if wider else Change.NARROWER
    if was == becomes == "numeric" and len(was_size) == len(size) == 2:
        fits = was_size[1] == size[1] and was_size[0] <= size[0]
        return Change.FREE if fits else Change.NARROWER
    return Change.NARROWER


def _type_of(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, inside = text.lower().replace(" ", "").partition("(")
    size = tuple(int(part) for part in inside.rstrip(")").split(",") if part.isdigit())
    name = {"charactervarying": "varchar", "decimal": "numeric"}.get(name, name)
    return _ALIASES.get(name, name), size
