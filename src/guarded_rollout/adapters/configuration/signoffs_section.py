"""Sign-offs in rollout.toml: `[signoffs.people]` and `[environments.<name>.signoffs]`."""

import re

from guarded_rollout.adapters.configuration.located import Value, given, quoted, suggestion
from guarded_rollout.core.signoff_policy import DAY, SIGNERS, Person, SignOffPolicy

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
PERSON = ("groups", "accounts")
POLICY = ("from_groups", "valid_for", "signers")


def read_people(section: Value) -> tuple[Person, ...]:
    """`[signoffs]`: everybody who may sign anywhere."""
    people = section.table(required=("people",))["people"].any_table()
    return tuple(_person(name, value) for name, value in people.items())


def read_signoffs(section: Value, people: tuple[Person, ...]) -> SignOffPolicy:
    """One environment's policy. It can be met by these people, or it is an error."""
    fields = section.table(required=("needed",), optional=POLICY)
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
    )


def _person(name: str, value: Value) -> Person:
    _word(Value(value.place, name))
    fields = value.table(optional=PERSON)
    return Person(
        name=name,
        groups=given(fields.get("groups"), _words, ()),
        accounts=given(fields.get("accounts"), _words, (name,)),
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
