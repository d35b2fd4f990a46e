"""`[signoffs.people]` and `[environments.<name>.signoffs]`: who has to agree."""

import pytest

from guarded_rollout.core.signoff_policy import Person, Reviewed, SignOffPolicy

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
        ('[signoffs.people.ann]\ngithub = "@ann"\n', ("people.ann.github: ", "is no login")),
        (
            '[signoffs.people.ann]\ngithub = "Ann"\n[signoffs.people.bob]\ngithub = "ann"\n',
            ("people.bob.github: ", "'ann' is ann already"),
        ),
    ],
)
def test_a_mistake_about_people_is_named_too(folder, refused, people, said):
    """A person's name is a file's name."""
    add(folder, "needed = 1", people)
    refused("rollout.toml", *said)


HUB = '\n[notify.github]\nrepository = "acme/shop"\n'
ANN = '\n[signoffs.people.ann]\ngithub = "ann-b"\n'


def test_reviews_count_where_a_repository_and_a_login_are_named(folder):
    """The address of the API is part of what is signed."""
    add(folder, "needed = 1\ngithub = true", HUB + ANN)
    found = folder.load().environment.signoffs
    assert found.reviewed == Reviewed("acme/shop", "https://api.github.com")
    assert found.reviewer("Ann-B") is found.people[0]
    assert found.reviewer("") is None


@pytest.mark.parametrize(
    ("before", "policy", "said"),
    [
        (ANN, "github = true", ("signoffs.github: no repository is named", "[notify.github]")),
        (HUB + "\n[signoffs.people.ann]\n", "github = true", ("has a login", 'github = "LOGIN"')),
        (HUB + ANN, 'github = "yes"', ("signoffs.github: ",)),
    ],
)
def test_reviews_that_could_not_count_are_an_error(folder, refused, before, policy, said):
    add(folder, f"needed = 1\n{policy}", before)
    refused("rollout.toml", *said)


def test_reviews_that_are_off_need_no_repository(folder):
    add(folder, "needed = 1\ngithub = false", ANN)
    assert folder.load().environment.signoffs.reviewed is None
