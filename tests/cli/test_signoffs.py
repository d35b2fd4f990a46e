"""`rollout approve`, `rollout approvals`, and a deploy that asks for them. Real SSH keys."""

import contextlib
import hashlib
import json
import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.signed_files import NAMESPACE, SignedFiles
from guarded_rollout.cli import guard
from guarded_rollout.core.statement import SignOff, Statement, read_statement, statement_text

PRODUCTION = ("--env", "production")
NAMES = ("ann", "bob", "cid", "eve")
POLICY = """
[signoffs.people.ann]
groups = ["ops"]

[signoffs.people.bob]

[signoffs.people.cid]

[environments.production.signoffs]
needed = 2
from_groups = { ops = 1 }
valid_for = "24h"
"""
GATES = '{"qualityGates": {"healthFailures": {"threshold": 7}}}'


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with a key of each."""
    folder = tmp_path_factory.mktemp("keys")
    for name in NAMES:
        words = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(["ssh-keygen", *words], check=True, stdin=subprocess.DEVNULL)
    return folder


class Team:
    """People with keys, each at an account of their own; `dan` may deploy and not sign."""

    def __init__(self, project, keys, monkeypatch):
        self.project, self.keys = project, keys
        self._monkeypatch = monkeypatch
        monkeypatch.delenv("SUDO_USER", raising=False)
        project.write("rollout.toml", (project.root / "rollout.toml").read_text() + POLICY)
        public = [(name, (keys / f"{name}.pub").read_text().split()) for name in NAMES[:3]]
        lines = [f'{name} namespaces="{NAMESPACE}" {key[0]} {key[1]}\n' for name, key in public]
        project.write("config/signers", "".join(lines))
        monkeypatch.setattr(guard, "spawn", lambda *_: None)

    def run(self, who, *words):
        """A command typed by this person."""
        self._monkeypatch.setenv("LOGNAME", who)
        return self.project.run(*words)

    def approve(self, who, *words):
        """Must go well."""
        key = ("--key", self.keys / who)
        answer = self.run(who, "approve", *PRODUCTION, *key, *words)
        assert answer.code == 0, answer
        return answer

    def deploy(self, *words, who="dan"):
        return self.run(who, "deploy", *PRODUCTION, "--detach", *words)

    def digest(self):
        return self.run("dan", "approvals", *PRODUCTION, "--json").document["digest"]

    def file(self, who):
        return self.project.root / "signoffs" / self.digest() / f"{who}.json"

    def sign(self, who, key=None, **changes):
        """What `approve` does not write: a statement of any content, really signed."""
        now = SystemClock().now()
        said = Statement(self.digest(), "production", "x", who, f"{who}@here", now, now + 60)
        text = statement_text(replace(said, **changes))
        file = self.file(who)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.seal(file, key or who)

    def seal(self, file, key, namespace=NAMESPACE):
        """Sign it with ssh-keygen."""
        words = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(self.keys / key)]
        done = subprocess.run(words, input=file.read_bytes(), capture_output=True, check=True)
        file.with_name(f"{file.name}.sig").write_bytes(done.stdout)

    def started(self):
        """The newest rollout's first fact."""
        with contextlib.closing(self.project.journal()) as journal:
            return journal.entries(journal.known("production")[0].rollout)[0].fact


@pytest.fixture
def team(project, keys, monkeypatch):
    return Team(project, keys, monkeypatch)


def test_a_deploy_without_sign_offs_is_refused(team):
    """How many of how many, who is missing, what to type; nothing is changed."""
    before = team.project.tree()
    for command in ("deploy", "migrate"):
        answer = team.run("dan", command, *PRODUCTION)
        said = answer.err
        assert answer.code == 1
        assert team.project.tree() == before
        assert "production has 0 of 2 sign-offs (nobody); missing: 2 more, 1 from ops (ann)" in said
        assert "rollout approve --env production" in said
        assert f"rollout {command} --env production --without-signoffs WHY" in said


def test_other_commands_and_environments_ask_nobody(team):
    """What looks, tries or goes back must not wait; staging has no policy."""
    assert team.run("dan", "rehearse", *PRODUCTION, "--dry-run").code == 0
    assert "sign-off" not in team.run("dan", "deploy", "--env", "staging", "--dry-run").out
    answer = team.run("dan", "approvals", "--env", "staging")
    assert answer.code == 1
    assert "staging asks for no sign-offs" in answer.err


def test_a_dry_run_shows_what_is_missing_and_is_no_refusal(team):
    """It changes nothing, so nobody needs to agree."""
    team.approve("bob")
    answer = team.run("dan", "deploy", *PRODUCTION, "--dry-run", "--json")
    assert answer.code == 0
    assert answer.document["signoffs"]["missing"] == ["1 more", "1 from ops (ann)"]
    assert "  sign-off 1 of 2 sign-offs (bob); missing: 1 more, 1 from ops (ann)" in answer.err


def test_two_people_let_it_go_and_the_journal_keeps_their_signatures(team):
    """They can be verified again from the journal alone; the audit covers them."""
    team.approve("bob")
    assert "missing: 1 more, 1 from ops (ann)" in team.deploy().err
    answer = team.approve("ann", "--reason", "release 1.4", "--expires", "2h")
    assert "  sign-off 2 of 2 sign-offs (ann, bob)\n  signed   ann, until 20" in answer.out
    assert team.deploy().code == 0
    started = team.started()
    assert (started.without_signoffs, started.by.split("@")[0]) == ("", "dan")
    assert [one.statement.who for one in started.signoffs] == ["ann", "bob"]
    assert started.signoffs[0].statement.reason == "release 1.4"
    files = SignedFiles(team.project.root, "config/signers")
    for one in started.signoffs:
        assert files.check(one.statement, one.signature, one.source) == one
        other = replace(one.statement, expires=one.statement.expires + 1)
        assert not isinstance(files.check(other, one.signature, one.source), SignOff)
    assert team.run("dan", "audit", "verify").code == 0
    watched = team.run("dan", "status", *PRODUCTION)
    assert watched.code == 0


def test_a_migration_needs_what_a_deploy_of_the_release_needs(team):
    """And no more: the deploy would do it too."""
    team.approve("ann")
    team.approve("bob")
    assert team.run("dan", "migrate", *PRODUCTION, "--detach").code == 0
    assert len(team.started().signoffs) == 2


def edit(team):
    file = team.file("bob")
    file.write_text(file.read_text().replace('"reason": ""', '"reason": "urgent"'))


def reformat(team):
    file = team.file("bob")
    file.write_text(json.dumps(json.loads(file.read_text())))
    team.seal(file, "bob")


def forge(team):
    file = team.file("bob")
    signature = file.with_name("bob.json.sig")
    signature.write_text(signature.read_text().replace("U1NIU0lH", "U1NIU0lI"))


def lose_signature(team):
    team.file("bob").with_name("bob.json.sig").unlink()


def sign_with_a_strangers_key(team):
    team.seal(team.file("bob"), "eve")


def sign_with_a_colleagues_key(team):
    team.seal(team.file("bob"), "ann")


def sign_for_something_else(team):
    team.seal(team.file("bob"), "bob", namespace="git")


def replay(team):
    old = team.file("bob").read_bytes(), team.file("bob").with_name("bob.json.sig").read_bytes()
    team.project.edit('name = "health"', 'name = "is it well"')
    team.approve("ann")
    team.file("bob").write_bytes(old[0])
    team.file("bob").with_name("bob.json.sig").write_bytes(old[1])


def be_a_stranger(team):
    team.file("bob").unlink()
    public = (team.keys / "eve.pub").read_text()
    signers = team.project.root / "config/signers"
    signers.write_text(f"{signers.read_text()}eve {public}")
    team.sign("eve")


def let_it_expire(team):
    team.sign("bob", expires=SystemClock().now() - 1)


def sign_too_long_ago(team):
    now = SystemClock().now()
    team.sign("bob", at=now - 25 * 3600, expires=now + 3600)


def sign_in_the_future(team):
    now = SystemClock().now()
    team.sign("bob", at=now + 3600, expires=now + 7200)


def sign_twice(team):
    file = team.file("bob")
    file.write_bytes(team.file("ann").read_bytes())
    team.seal(file, "ann")


def share_a_key(team):
    signers = team.project.root / "config/signers"
    anns = (team.keys / "ann.pub").read_text()
    signers.write_text(f"{signers.read_text()}bob {anns}")
    team.seal(team.file("bob"), "ann")


def start_it_oneself(team):
    team.sign("bob", account=f"dan@{platform.node()}")


BAD = {
    edit: "forged, or edited after it was signed",
    reformat: "edited: it is not as `rollout approve` writes it",
    forge: "forged, or edited after it was signed",
    lose_signature: "not signed: bob.json.sig cannot be read",
    sign_with_a_strangers_key: "wrong key: config/signers does not give SHA256:",
    sign_with_a_colleagues_key: "wrong key: config/signers does not give SHA256:",
    sign_for_something_else: "forged, or edited after it was signed",
    replay: "it signs another plan: ",
    be_a_stranger: "unknown signer: eve is not in [signoffs.people]",
    let_it_expire: "it expired ",
    sign_too_long_ago: "it expired 60 min",
    sign_in_the_future: "in the future: compare the clocks",
    sign_twice: "ann has signed already: signoffs/",
    share_a_key: "it is signed with the key of ann",
    start_it_oneself: "self-approved: bob is dan@",
}


@pytest.mark.parametrize("mutate", BAD, ids=lambda mutate: mutate.__name__)
def test_what_would_have_been_enough_is_not_after_one_change(team, mutate):
    """Each with its reason, in the refusal and in the list; no rollout is begun."""
    team.approve("ann")
    team.approve("bob")
    assert team.run("dan", "approvals", *PRODUCTION, "--json").document["met"]
    mutate(team)
    answer = team.deploy()
    assert answer.code == 1
    assert "production has 1 of 2 sign-offs (ann); missing: 1 more" in answer.err
    assert BAD[mutate] in answer.err
    assert not (team.project.root / ".rollout" / "journal.db").exists()
    listed = team.run("dan", "approvals", *PRODUCTION, "--json").document
    assert (not listed["met"] and BAD[mutate] in str(listed["void"])) or mutate is start_it_oneself


def test_who_signed_cannot_start_it(team):
    """By the account of the command, and of the policy."""
    team.approve("ann")
    team.approve("bob")
    answer = team.deploy(who="bob")
    assert answer.code == 1
    assert "does not count: self-approved: bob is bob@" in answer.err
    assert "missing: 1 more" in answer.err
    assert team.deploy().code == 0


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("rollout.toml", "production/toy.db", "production/other.db"),
        ("rollout.toml", "needed = 2", "needed = 1"),
        ("toy/src/toy_service/__init__.py", "\n", "\n\n"),
        ("quality-gates-config.json", "{}", GATES),
    ],
)
def test_a_change_voids_what_was_signed_and_says_so(team, file, old, new):
    """Who signed is told that it was another plan."""
    team.project.write("quality-gates-config.json", '{"environments": {"production": {}}}')
    team.approve("ann")
    team.approve("bob")
    path = team.project.root / file
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    assert path.read_text() != text
    answer = team.deploy()
    assert answer.code == 1
    assert "production has 0 of " in answer.err
    assert "ann signed another plan: " in answer.err
    path.write_text(text)
    assert team.deploy().code == 0


def test_options_are_signed_too(team):
    """A deploy with others is another plan."""
    team.approve("ann", "--duration", "5m")
    team.approve("bob", "--duration", "5m")
    assert team.deploy().code == 1
    assert team.deploy("--duration", "5m").code == 0


def test_going_without_is_loud_and_recorded(team):
    """On the screen before it begins, in the journal, with the sign-offs that were there."""
    team.approve("bob")
    why = ("--without-signoffs", "users get 503, ann is on a plane")
    warning = "  WARNING  GOES ON WITHOUT THE SIGN-OFFS THAT ARE MISSING: users get 503"
    assert warning in team.deploy("--dry-run", *why).out
    answer = team.deploy(*why)
    assert answer.code == 0
    assert warning in answer.out
    started = team.started()
    assert started.without_signoffs == "users get 503, ann is on a plane"
    assert [one.statement.who for one in started.signoffs] == ["bob"]


def test_going_without_what_is_not_missing_is_not_recorded(team):
    """The journal says how it was, not how it was typed."""
    team.approve("ann")
    team.approve("bob")
    answer = team.deploy("--without-signoffs", "just in case")
    assert (answer.code, team.started().without_signoffs) == (0, "")
    assert "--without-signoffs is not needed" in answer.out
    assert team.run("dan", "deploy", *PRODUCTION, "--without-signoffs", " ").code == 1


def test_what_is_signed_can_be_read(team):
    """Its SHA-256 is the digest; what lies there is what ssh-keygen itself verifies."""
    shown = team.run("ann", "approve", *PRODUCTION, "--show").out
    text, _, digest = shown.rpartition("SHA-256: ")
    assert hashlib.sha256(text.encode()).hexdigest() == digest.strip() == team.digest()
    assert json.loads(text)["candidate"]["service"] == "toy"
    assert not (team.project.root / "signoffs").exists()
    team.approve("ann")
    file = team.file("ann")
    assert read_statement(file.read_bytes()).who == "ann"
    words = ["-f", "config/signers", "-I", "ann", "-n", NAMESPACE, "-s", f"{file}.sig"]
    verify = ["ssh-keygen", "-Y", "verify", *words]
    done = subprocess.run(verify, input=file.read_bytes(), capture_output=True, check=True)
    assert b'Good "guarded-rollout" signature for ann' in done.stdout


@pytest.mark.parametrize(
    ("who", "words", "said"),
    [
        ("ann", ("--key", "KEYS/bob"), "does not sign for ann: wrong key"),
        ("ann", ("--key", "KEYS/nobody"), "ssh-keygen cannot sign with "),
        ("ann", ("--key", "KEYS/ann", "--expires", "25h"), "longer than production allows"),
        ("ann", ("--key", "KEYS/ann", "--expires", "soon"), "--expires: 'soon' is no duration"),
        ("ann", ("--key", "KEYS/ann", "--as", "eve"), "--as: eve is not in [signoffs.people]"),
        ("dan", ("--key", "KEYS/ann"), "is the account of nobody in [signoffs.people]"),
    ],
)
def test_an_approval_that_would_not_count_is_refused_at_once(team, who, words, said):
    """Nothing is written."""
    before = team.project.tree()
    words = [word.replace("KEYS", str(team.keys)) for word in words]
    answer = team.run(who, "approve", *PRODUCTION, *words)
    assert (answer.code, said in answer.err) == (1, True), answer
    assert team.project.tree() == before


def test_a_file_of_signers_that_is_lost_is_named(team):
    """And what goes into it."""
    Path("config/signers").unlink()
    answer = team.run("ann", "approve", *PRODUCTION, "--key", team.keys / "ann")
    assert answer.code == 1
    assert "config/signers does not exist" in answer.err
    assert 'NAME namespaces="guarded-rollout" ssh-ed25519 KEY' in answer.err
