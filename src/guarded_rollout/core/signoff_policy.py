"""Who has to agree before a release may go to an environment."""

from dataclasses import dataclass

SIGNERS = "config/signers"
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign. `accounts`: `name` on every machine, or `name@machine`.

    `github`: the login there; empty: reviews of this person are not known.
    """

    name: str
    groups: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    github: str = ""

    def uses(self, account: str) -> bool:
        """Whether this account, `name@machine`, is this person's."""
        return account in self.accounts or account.rpartition("@")[0] in self.accounts


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The GitHub repository whose reviews count, owner/name, and the address of its REST API."""

    repository: str
    api: str


@dataclass(frozen=True, slots=True)
class SignOffPolicy:
    """How many people, and at least how many of which groups.

    Fields:
        from_groups: (group, at least so many of it).
        valid_seconds: how long after it was signed a sign-off counts at most.
        signers: the people's public keys, an OpenSSH allowed-signers file below the root.
        reviewed: approving reviews count too; None: they do not.
    """

    needed: int
    people: tuple[Person, ...]
    from_groups: tuple[tuple[str, int], ...] = ()
    valid_seconds: float = DAY
    signers: str = SIGNERS
    reviewed: Reviewed | None = None

    def person(self, name: str) -> Person | None:
        """By the name that signs."""
        return next((person for person in self.people if person.name == name), None)

    def reviewer(self, login: str) -> Person | None:
        """By the login on GitHub, which does not tell small letters from capitals."""
        known = (one for one in self.people if one.github and one.github.lower() == login.lower())
        return next(known, None)

    def members(self, group: str) -> tuple[str, ...]:
        """Names."""
        return tuple(person.name for person in self.people if group in person.groups)
