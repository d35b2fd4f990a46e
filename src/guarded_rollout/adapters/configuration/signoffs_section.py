"""Sign-offs in rollout.toml: `[signoffs.people]` and `[environments.<name>.signoffs]`."""

import re
from dataclasses import dataclass

from guarded_rollout.adapters.configuration.located import Value, given, quoted, suggestion
from guarded_rollout.core.signoff_policy import DAY, SIGNERS, Person, Reviewed, SignOffPolicy

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_LOGIN = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}(?:_[A-Za-z0-9]+)?")
PERSON = ("groups", "accounts", "github")
POLICY = ("from_groups", "valid_for", "signers", "github")


@dataclass(frozen=True, slots=True)
class Agreeing:
    """Everybody who may sign anywhere, and the repository of [notify.github]."""

    people: tuple[Person, ...] = ()
    reviewed: Reviewed | None = None


def read_people(section: Value) -> tuple[Person, ...]:
    """`[signoffs]`: everybody who may sign anywhere."""
    people = section.table(required=("people",))["people"].any_table()
    found = tuple(_person(name, value) for name, value in people.items())
    logins: dict[str, str] = {}
    for one in found:
        first = logins.setdefault(one.github.lower(), one.name)
        if one.github and first != one.name:
            raise (
                people[one.name]
                .member("github")
                .problem(f"{quoted(one.github)} is {first} already", "one login is one person")
            )
    return found


def read_signoffs(section: Value, agreeing: Agreeing) -> SignOffPolicy:
    """One environment's policy. It can be met by these people, or it is an error."""
    fields = section.table(required=("needed",), optional=POLICY)
    people = agreeing.people
    needed = fields["needed"].whole(1, 20, "people")
    if needed > len(people):
        raise fields["needed"].problem(
            f"{needed} people have to sign, and [signoffs.people] has {len(people)}",
            "add them there: [signoffs.people.NAME]",
        )
    return SignOffPolicy(
        needed=needed,
        people=people,
        from_groups=given(fields.get("from_groups"), lambda at: _groups(at, needed, people), ()),
        valid_seconds=given(fields.get("valid_for"), Value.seconds, DAY),
        signers=given(fields.get("signers"), Value.relative_path, SIGNERS),
        reviewed=given(fields.get("github"), lambda at: _reviewed(at, agreeing), None),
    )


def _reviewed(value: Value, agreeing: Agreeing) -> Reviewed | None:
    if not value.flag():
        return None
    if agreeing.reviewed is None:
        raise value.problem(
            "no repository is named", 'add [notify.github] with repository = "owner/name"'
        )
    if not any(person.github for person in agreeing.people):
        raise value.problem(
            "nobody in [signoffs.people] has a login", 'add it: github = "LOGIN" for each of them'
        )
    return agreeing.reviewed


def _login(value: Value) -> str:
    text = value.text()
    if _LOGIN.fullmatch(text) is None:
        raise value.problem(f"{quoted(text)} is no login", 'write it without @: "ann-b"')
    return text


def _person(name: str, value: Value) -> Person:
    _word(Value(value.place, name))
    fields = value.table(optional=PERSON)
    return Person(
        name=name,
        groups=given(fields.get("groups"), _words, ()),
        accounts=given(fields.get("accounts"), _words, (name,)),
        github=given(fields.get("github"), _login, ""),
    )


def _groups(value: Value, needed: int, people: tuple[Person, ...]) -> tuple[tuple[str, int], ...]:
    found: list[tuple[str, int]] = []
    known = {group for person in people for group in person.groups}
    for group, least in value.any_table().items():
        if group not in known:
            raise least.problem(f"nobody is in {quoted(group)}", suggestion(group, sorted(known)))
        count = least.whole(1, needed, f"people: {needed} sign at all")
        members = sum(group in person.groups for person in people)
        if count > members:
            raise least.problem(
                f"{count} of {group} have to sign, and it has {members}",
                f'add somebody: [signoffs.people.NAME] with groups = ["{group}"]',
            )
        found.append((group, count))
    return tuple(found)


def _words(value: Value) -> tuple[str, ...]:
    return tuple(_word(member) for member in value.members())


def _word(value: Value) -> str:
    text = value.text()
    if _NAME.fullmatch(text) is None:
        raise value.problem(
            f"{quoted(text)} cannot be a name", "letters, digits, dots, hyphens, _, + and @"
        )
    return text
