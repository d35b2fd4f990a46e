"""`rollout pr protect` on a server that answers protection in GitHub's shape."""

import pytest
from github_server import TOKEN

PROTECT = ("pr", "protect")
CHECKS = {f"premerge ({platform}-latest)" for platform in ("ubuntu", "macos", "windows")}
OWNERS = "# Last, so that it decides: somebody of ops approves every change.\n* @Ann-B\n"


def sent(team):
    return [asked[0] for asked in team.hub.asked if asked[0] != "GET"]


def test_a_dry_run_shows_the_difference_and_sends_nothing(team):
    """Names of checks are those that have reported."""
    team.hub.run(team.head)
    before = team.project.tree()
    answer = team.run(*PROTECT, "--dry-run")
    assert answer.code == 0, answer
    assert sent(team) == []
    assert team.project.tree() == before
    for line in (
        "main of acme/shop",
        "  required_linear_history: false -> true",
        "  required_pull_request_reviews.required_approving_review_count: not set -> 2",
        "  required_status_checks.checks.premerge (macos-latest): not set -> required",
        "+* @Ann-B",
        "dry run: nothing was sent, nothing was written",
    ):
        assert line in answer.out.splitlines(), line


def test_it_sets_what_differs_once(team):
    """The second time there is nothing to send; the file is written when told to."""
    team.hub.run(team.head)
    assert team.run(*PROTECT).code == 0
    assert sent(team) == ["PUT"]
    assert not (team.project.root / ".github").exists()
    set_to = team.hub.protection["main"]
    assert {one["context"] for one in set_to["required_status_checks"]["checks"]} == CHECKS
    assert set_to["required_pull_request_reviews"]["require_code_owner_reviews"]
    again = team.run(*PROTECT, "--write-owners", "--json").document
    assert (again["changes"], again["sent"], again["owners"]["written"]) == ([], False, True)
    assert (team.project.root / ".github/CODEOWNERS").read_text() == OWNERS
    assert sent(team) == ["PUT"]


def test_what_is_there_stays_and_checks_keep_their_app(team):
    """Only one setting differs; the rest of it is sent as it was."""
    team.hub.run(team.head)
    assert team.run(*PROTECT).code == 0
    there = team.hub.protection["main"]
    there["required_status_checks"]["checks"].append({"context": "lint", "app_id": 7})
    there["required_linear_history"] = False
    there["restrictions"] = {"users": ["bob"], "teams": [], "apps": []}
    answer = team.run(*PROTECT, "--json")
    assert [one["name"] for one in answer.document["changes"]] == ["required_linear_history"]
    there = team.hub.protection["main"]
    assert there["required_linear_history"]
    assert there["restrictions"]["users"] == ["bob"]
    apps = {one["context"]: one["app_id"] for one in there["required_status_checks"]["checks"]}
    assert apps["lint"] == 7
    assert set(apps) == {*CHECKS, "lint"}


def test_a_server_that_takes_it_and_does_not_do_it_is_found(team, monkeypatch):
    """What was set is read again."""
    team.hub.run(team.head)
    monkeypatch.setattr(team.hub, "_set", lambda branch, body: (200, {}, {"url": "x"}))
    answer = team.run(*PROTECT)
    assert answer.code == 1
    assert "GitHub took the protection of main, and it is another one: " in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "premerge.yml never ran in acme/shop"),
        (("--check", "x", "--branch", "gone"), "the branch is not there, or the token may not"),
        (("--check", "x", "--group", "dba"), "nobody of dba is known on GitHub"),
        (("--check", "x", "--owners", "ops"), "--owners: 'ops' is no owner"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(team, words, said):
    answer = team.run(*PROTECT, *words)
    assert (answer.code, said in answer.err, sent(team)) == (1, True, []), answer


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "GITHUB_TOKEN is not accepted"),
        (403, "the token may not read or set the protection of a branch"),
        (404, "the branch is not there"),
        (422, "this protection does not fit the repository"),
        (301, "acme/shop has moved"),
    ],
)
def test_what_github_refuses_is_told(team, status, said):
    """When it is read, and when it is set."""
    for method in ("GET", "PUT"):
        team.hub.plan = [(method, status, {}, {"message": "No"})]
        answer = team.run(*PROTECT, "--check", "premerge")
        assert (answer.code, said in answer.err) == (1, True), answer
        assert "-> " in answer.err
        assert TOKEN not in answer.err
        assert team.hub.plan == []
    assert team.hub.protection == {}


def test_who_may_go_around_it_is_named_and_left(team):
    team.hub.run(team.head)
    team.run(*PROTECT)
    reviews = team.hub.protection["main"]["required_pull_request_reviews"]
    reviews["bypass_pull_request_allowances"] = {"users": [], "teams": [], "apps": ["robot"]}
    assert "  WARNING  robot may merge without reviews; that is left" in team.run(*PROTECT).out
