"""`[signoffs.people]` and `[environments.<name>.signoffs]`: who has to agree."""

import pytest

from guarded_rollout.core.signoff_policy import Person, SignOffPolicy

PEOPLE = """
[signoffs.people.ann]
groups = ["ops"]
accounts = ["ann", "ann.b@laptop"]

[signoffs.people.bob]
"""
POLICY = "\n[environments.production.signoffs]\n"


def add(folder, policy, people=PEOPLE):
    text = (folder.path / "rollout.toml").read_text()
    folder.write("rollout.toml", text + people + POLICY + policy)


def test_a_policy_is_read_with_its_defaults(folder):
    """A day, config/signers, an account of the same name; elsewhere nobody is asked."""
    add(folder, "needed = 2\nfrom_groups = { ops = 1 }")
    people = (Person("ann", ("ops",), ("ann", "ann.b@laptop")), Person("bob", (), ("bob",)))
    assert folder.load().environment.signoffs == SignOffPolicy(2, people, (("ops", 1),))
    assert folder.load("staging").environment.signoffs is None


def test_every_key_can_be_set(folder):
    """Seconds, and a path below the root."""
    add(folder, 'needed = 1\nvalid_for = "2h"\nsigners = "keys/signers"')
    found = folder.load().environment.signoffs
    assert (found.needed, found.valid_seconds, found.signers) == (1, 7200.0, "keys/signers")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ('valid_for = "1h"', (":30: environments.production.signoffs.needed: is missing",)),
        ("needed = 0", (":31: environments.production.signoffs.needed: 0 makes no sense",)),
        ("needed = 3", (":31: ", "3 people have to sign, and [signoffs.people] has 2")),
        ("needed = 2\nneded = 1", (":32: environments.production.signoffs.neded: this key",)),
        ("needed = 2\nfrom_groups = { op = 1 }", (":32: ", "from_groups.op", "mean ops?")),
        ("needed = 2\nfrom_groups = { ops = 2 }", (":32: ", "2 of ops have to sign, and it has 1")),
        ("needed = 1\nfrom_groups = { ops = 2 }", (":32: ", "2 makes no sense")),
        ("needed = 1\nvalid_for = 24", (":32: ", "a duration with a unit")),
        ('needed = 1\nsigners = "/etc/signers"', (":32: ", "must stay below the folder")),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(folder, refused, policy, said):
    """What is wrong, and what is allowed."""
    add(folder, policy)
    refused("rollout.toml", *said)


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ("[signoffs]\n", ("signoffs.people: is missing",)),
        ('[signoffs.people.ann]\ngroup = ["ops"]\n', ("signoffs.people.ann.group: this key",)),
        ('[signoffs.people."../x"]\n', ("cannot be a name",)),
        ('[signoffs.people.ann]\naccounts = ["a b"]\n', ("ann.accounts[0]: ", "cannot be a name")),
    ],
)
def test_a_mistake_about_people_is_named_too(folder, refused, people, said):
    """A person's name is a file's name."""
    add(folder, "needed = 1", people)
    refused("rollout.toml", *said)
