"""Approving reviews on GitHub as sign-offs, with real commits and a server that keeps its rules."""

import pytest
from github_server import REPOSITORY, TOKEN


@pytest.fixture
def reviewed(team):
    """Approved by two, one of them of ops."""
    team.hub.review("bob")
    team.hub.review("Ann-B")
    return team


def test_two_reviews_one_of_ops_let_it_go_and_the_journal_has_the_commit(team):
    """Read by everybody who looks; logins are the same in capitals."""
    answer = team.deploy()
    assert answer.code == 1
    assert "production has 0 of 2 sign-offs (nobody)" in answer.err
    assert "rollout approve --env production" in answer.err
    assert "or approves the pull request" in answer.err
    team.hub.review("bob")
    assert "missing: 1 more, 1 from ops (ann)" in team.deploy().err
    team.hub.review("ann-b")
    assert team.deploy().code == 0
    found = team.started().signoffs
    assert [(one.statement.who, one.commit) for one in found] == [
        ("bob", team.head),
        ("ann", team.head),
    ]
    assert found[0].source == "https://github.example/pull/12#review-1"
    assert found[0].statement.reason == "reviewed #12"
    assert TOKEN not in answer.out + answer.err


def test_after_rebase_and_merge_the_commit_is_another_and_the_files_are_the_same(reviewed):
    """GitHub rewrites commits when it rebases; what was reviewed is the content."""
    reviewed.git("commit", "-q", "--amend", "-m", "rebased")
    merged = reviewed.git("rev-parse", "HEAD")
    assert merged != reviewed.head
    reviewed.hub.pulls[12]["merged_as"].append(merged)
    reviewed.hub.trees[merged] = reviewed.hub.trees[reviewed.head]
    assert reviewed.deploy().code == 0
    reviewed.hub.trees[reviewed.head] = "9" * 40
    listed = reviewed.standing()
    assert not listed["met"]
    assert f"its head {reviewed.head[:12]} has other files than {merged[:12]}" in str(
        listed["void"]
    )


def ask_for_changes(team):
    team.hub.review("bob", "COMMENTED")
    team.hub.review("bob", "CHANGES_REQUESTED")


def dismiss(team):
    team.hub.reviews[12][0]["state"] = "DISMISSED"


def push_since(team):
    team.hub.reviews[12][0]["commit_id"] = "a" * 40


def lose_the_commit(team):
    team.hub.reviews[12][0]["commit_id"] = None


def push_into_somebodys_pull_request(team):
    team.hub.commits[12][0]["author"]["login"] = "Bob"


def commit_for_somebody(team):
    team.hub.commits[12][0]["committer"]["login"] = "bob"


def be_a_stranger(team):
    team.hub.reviews[12][0]["user"]["login"] = "mallory"


def be_deleted(team):
    team.hub.reviews[12][0]["user"] = None


def review_too_long_ago(team):
    team.hub.reviews[12][0]["submitted_at"] = "2026-01-31T12:00:00Z"


def only_comment(team):
    team.hub.reviews[12][0]["state"] = "COMMENTED"


VOID_ONE = {
    ask_for_changes: "the last review of bob asks for changes",
    dismiss: "the last review of bob was dismissed",
    push_since: "stale: it is for aaaaaaaaaaaa, and the head is ",
    lose_the_commit: "stale: it is for nothing",
    push_into_somebodys_pull_request: "self-approved: bob wrote some of it",
    commit_for_somebody: "self-approved: bob wrote some of it",
    be_a_stranger: "unknown reviewer: nobody in [signoffs.people] has github = 'mallory'",
    be_deleted: "unknown reviewer: nobody in [signoffs.people] has github = ''",
    review_too_long_ago: "it expired ",
    only_comment: "",
}


def go_elsewhere(team):
    team.hub.pulls[12]["base"]["ref"] = "side"


def hide_a_commit(team):
    team.hub.pulls[12]["commits"] = 2


def commit_as_nobody(team):
    team.hub.commits[12][0]["author"] = None


def be_in_no_pull_request(team):
    team.hub.pulls.clear()


def not_be_pushed(team):
    team.hub.trees[team.commit("--allow-empty")] = "1" * 40


def be_unknown(team):
    team.commit("--allow-empty")


def edit_a_file(team):
    file = team.project.root / "toy/src/toy_service/__init__.py"
    file.write_text(file.read_text() + "\n")


def edit_a_file_in_secret(team):
    team.git("update-index", "--assume-unchanged", "toy/src/toy_service/__init__.py")
    edit_a_file(team)


def add_a_file(team):
    team.project.write("toy/src/toy_service/more.py", "")


def add_a_file_that_git_ignores(team):
    team.project.write("toy/src/toy_service/more.secret", "")


def add_one_to_the_index_alone(team):
    add_a_file_that_git_ignores(team)
    team.git("add", "-f", "toy/src/toy_service/more.secret")


def be_no_checkout(team):
    (team.project.root / ".git").rename(team.project.root.parent / f"{team.project.root.name}.git")


VOID_ALL = {
    go_elsewhere: "it goes into side, not into main",
    hide_a_commit: "who wrote it is not known",
    commit_as_nobody: "who wrote it is not known",
    be_in_no_pull_request: "no pull request has the commit ",
    not_be_pushed: "no pull request has the commit ",
    be_unknown: "answered 422: No commit found for SHA",
    edit_a_file: "the files are not those of ",
    edit_a_file_in_secret: "the files are not those of ",
    add_a_file: "toy/src/toy_service/more.py",
    add_a_file_that_git_ignores: "what goes into the release is not in the commit: toy/src",
    add_one_to_the_index_alone: "what goes into the release is not in the commit: toy/src",
    be_no_checkout: "is no checkout that can be read",
}


@pytest.mark.parametrize("mutate", [*VOID_ONE, *VOID_ALL], ids=lambda mutate: mutate.__name__)
def test_what_would_have_been_enough_is_not_after_one_change(reviewed, mutate):
    """With its reason, in the refusal; no rollout is begun."""
    assert reviewed.met()
    mutate(reviewed)
    answer = reviewed.deploy()
    assert answer.code == 1
    left = "1 of 2 sign-offs (ann); missing: 1 more" if mutate in VOID_ONE else "0 of 2 sign-offs"
    assert f"production has {left}" in answer.err
    assert {**VOID_ONE, **VOID_ALL}[mutate] in answer.err
    assert not (reviewed.project.root / ".rollout" / "journal.db").exists()


@pytest.mark.parametrize("option", ["--duration", "--config", "--forward-only", "--source"])
def test_what_no_file_has_was_not_reviewed(reviewed, option):
    """It is signed with a key, or not at all."""
    reviewed.project.write("gates.secret", "{}")
    value = {"--duration": "5m", "--config": "gates.secret", "--source": "toy"}.get(option, "why")
    answer = reviewed.deploy(option, value)
    assert answer.code == 1
    assert f"reviewers did not see {option}: sign with rollout approve" in answer.err


def test_what_this_tool_wrote_beside_it_does_not_matter(reviewed):
    """Signatures that are not committed, an incident; a source that lies there does."""
    reviewed.project.write("signoffs/d/cid.json", "{}")
    reviewed.project.write("incidents/INC-1.md", "x")
    assert reviewed.met()
    reviewed.project.write("more/signoffs/x", "x")
    assert not reviewed.met()


def test_who_reviewed_cannot_start_it(reviewed):
    """By the account of the command, as with signatures."""
    assert "does not count: self-approved: bob is bob@" in reviewed.deploy(who="bob").err
    assert reviewed.deploy().code == 0


def test_the_last_of_many_reviews_decides_on_whichever_page_it_stands(reviewed):
    """An approval on the first page is taken back on the second."""
    for _ in range(150):
        reviewed.hub.review("cid", "COMMENTED")
    assert reviewed.met()
    reviewed.hub.review("bob", "CHANGES_REQUESTED")
    assert not reviewed.met()
    assert any("page=2" in asked[1] for asked in reviewed.hub.asked)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {}, {"message": "Bad credentials"}), "GITHUB_TOKEN is not accepted"),
        ((403, {}, {"message": "Resource not accessible"}), "GITHUB_TOKEN may not do that"),
        ((404, {}, {"message": "Not Found"}), "compare [notify.github] repository"),
        ((422, {}, {"message": "Validation Failed"}), "answered 422: Validation Failed"),
        ((301, {"Location": "/x"}, {"message": "Moved"}), "write its new name into"),
        ((403, {"Retry-After": "3600"}, {"message": "slow"}), "rate limit, come again in 3600 s"),
        (
            (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"}, {}),
            "rate limit, come again in ",
        ),
        ((200, {}, {"no": "list"}), "answered with no list"),
        ((200, {}, [{"number": "twelve"}]), "GitHub's answer is not as it is described"),
    ],
)
def test_what_github_refuses_is_told_with_what_to_do(team, answer, said):
    """And the way without it still works."""
    team.hub.plan = [("GET", *answer)] * 6
    refused = team.deploy()
    assert refused.code == 1
    assert f"reviews of {REPOSITORY} does not count: " in refused.err
    assert said in refused.err
    assert TOKEN not in refused.err
    team.hub.plan = [("GET", *answer)] * 6
    assert team.deploy("--without-signoffs", "GitHub is down").code == 0
    team.hub.plan.clear()


def test_a_short_limit_is_waited_for(reviewed):
    """It says how long."""
    reviewed.hub.plan = [("GET", 429, {"Retry-After": "1"}, {"message": "secondary rate limit"})]
    assert reviewed.met()
    assert reviewed.hub.plan == []


def test_without_a_token_it_says_which_variable(reviewed, monkeypatch):
    """The other name and the file work too."""
    monkeypatch.delenv("GITHUB_TOKEN")
    assert "GITHUB_TOKEN or GH_TOKEN is not set" in reviewed.deploy().err
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    assert reviewed.met()
    monkeypatch.delenv("GH_TOKEN")
    reviewed.project.write("token.secret", f"{TOKEN}\n")
    monkeypatch.setenv("GH_TOKEN_FILE", str(reviewed.project.root / "token.secret"))
    assert reviewed.met()
