"""An issue for each incident, on a real server that keeps GitHub's published rules."""

from dataclasses import replace

import pytest
from github_server import LONGEST, REPOSITORY, TOKEN, github

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.notice import Notice
from guarded_rollout.notify.github import IssueTracker, mark
from guarded_rollout.notify.github_api import PER_PAGE
from guarded_rollout.ports import Issue
from guarded_rollout.testing.clock import FastClock

CLOCK = SystemClock()
SINCE = CLOCK.now() - 3600
ISSUE = Issue("INC-r1", "production", SINCE, "INC-r1: toy 1.1.0 went back", "# INC-r1\n\nnumbers")
HELD = Notice("hold", "production", "Nothing goes on.", SINCE + 60, rollout="r1", key="r1:9:hold")
BACK = Notice(
    "rollback-success", "production", "1.0.0 serves.", SINCE + 90, rollout="r1", key="r1:12:back"
)


class WallClock(FastClock):
    """Fast, and its `now` is the real time: GitHub's headers are."""

    def now(self):
        return CLOCK.now()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    with github() as ours:
        yield ours
    assert ours.faults == []


@pytest.fixture
def tracker(server, tmp_path):
    (tmp_path / "rollout.toml").write_text(
        f'[notify]\ndeadline = "15m"\n[notify.github]\nrepository = "{REPOSITORY}"\n'
        f'labels = ["incident", "rollout"]\napi = "{server.api}"\n[environments.production]\n'
    )
    return IssueTracker(tmp_path, WallClock(speed=60), chance=lambda: 0.0)


def test_an_incident_gets_one_issue_and_its_news_as_comments(server, tracker):
    """Told twice, it is there once."""
    assert tracker.name("production") == "github"
    for news in (HELD, BACK, HELD, BACK):
        told = tracker.tell(ISSUE, news)
        assert (told.status, told.attempts) == ("delivered", 1), told
    (issue,) = server.issues
    assert issue["title"] == ISSUE.title
    assert issue["body"].endswith(ISSUE.body)
    assert [label["name"] for label in issue["labels"]] == ["incident", "rollout"]
    (comment,) = server.comments[1]
    assert "1.0.0 serves." in comment["body"]
    assert told.reason == issue["html_url"]


def test_what_was_sent_and_never_answered_is_found_again(server, tracker):
    """The server has taken it and died before it said so: no second issue, no second comment."""
    server.plan = [("POST", "take and drop")]
    assert tracker.tell(ISSUE, HELD).status == "delivered"
    assert len(server.issues) == 1
    server.plan = [("POST", "take and drop")]
    assert tracker.tell(ISSUE, BACK).attempts == 2
    assert len(server.comments[1]) == 1


def test_one_that_people_closed_is_found_and_a_pull_request_is_none(server, tracker):
    """Closing is left to them; and it is looked for on every page."""
    server.add("a change", mark("INC-r1"), pull_request={"url": "x"})
    server.add("ours", f"{mark('INC-r1')} told before", state="closed")
    for number in range(2 * PER_PAGE):
        server.add(f"another {number}", "nothing")
    assert tracker.tell(ISSUE, HELD).status == "delivered"
    assert len(server.issues) == 2 * PER_PAGE + 2
    assert len(server.comments[2]) == 1
    pages = [path for method, path, *_ in server.asked if method == "GET" and "since=" in path]
    assert len(pages) == 3


def test_two_incidents_have_two_issues(server, tracker):
    """Though one name begins like the other."""
    tracker.tell(ISSUE, HELD)
    tracker.tell(replace(ISSUE, name="INC-r10"), HELD)
    assert len(server.issues) == 2


@pytest.mark.parametrize(
    ("status", "headers", "message", "said"),
    [
        (401, {}, "Bad credentials", "GITHUB_TOKEN is not accepted"),
        (403, {}, "Resource not accessible", "may not write issues of acme/shop"),
        (404, {}, "Not Found", "is not there, or GITHUB_TOKEN may not see it"),
        (410, {}, "Issues are disabled", "switched off"),
        (422, {}, "Validation Failed", "not accepted"),
        (301, {"Location": "https://evil.example/"}, "Moved", "has moved"),
    ],
)
def test_what_no_second_attempt_can_mend_is_told_once(
    server, tracker, status, headers, message, said
):
    """In words that a person can act on, without the token."""
    server.plan = [("GET", status, headers, {"message": f"{message} {TOKEN}"})]
    told = tracker.tell(ISSUE, HELD)
    assert (told.status, told.attempts) == ("kept", 1)
    assert said in told.reason
    assert message in told.reason
    assert TOKEN not in told.reason
    assert len(server.asked) == 1


def limited(status, **headers):
    told = {"message": "You have exceeded a secondary rate limit"}
    return ("GET", status, {name.replace("_", "-"): text for name, text in headers.items()}, told)


@pytest.mark.parametrize(
    "answer",
    [
        limited(429, Retry_After="7"),
        limited(403, Retry_After="7"),
        limited(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(CLOCK.now()) + 40)),
        limited(403),
        ("GET", 500, {}, {"message": "oops"}),
        ("GET", 502, {}, {"message": "oops"}),
        ("GET", "drop"),
        ("POST", "drop"),
        ("POST", 503, {}, {}),
    ],
)
def test_what_passes_is_waited_for(server, tracker, answer):
    """A rate limit as long as it says, or a minute; a bad answer with a pause of its own."""
    server.plan = [answer]
    told = tracker.tell(ISSUE, HELD)
    assert (told.status, told.attempts) == ("delivered", 2), told
    assert len(server.issues) == 1


def test_a_limit_beyond_the_deadline_ends_it(server, tracker):
    """The news is kept in the incident's own file; the reason says until when."""
    server.plan = [limited(403, Retry_After="3600")]
    told = tracker.tell(ISSUE, HELD)
    assert told.status == "kept"
    assert "come again in 3600 s" in told.reason
    assert "too late" in told.reason


def test_nothing_hostile_leaves_and_nothing_is_too_long(server, tracker):
    """Mentions and markup of a release's name or an error stand in code; secrets are gone."""
    bad = "@everyone <img src=x> `x` password=hunter2secret \x1b[31m"
    issue = replace(ISSUE, title=bad * 50, body="x" * 100_000)
    assert tracker.tell(issue, HELD).status == "delivered"
    assert tracker.tell(issue, replace(BACK, message=bad, evidence=(bad,))).status == "delivered"
    (made,) = server.issues
    assert len(made["body"]) <= LONGEST
    assert len(made["title"]) <= 256
    comment = server.comments[1][0]["body"]
    fenced = comment.partition("```")[2]
    assert "@everyone" in fenced
    assert "@everyone" not in comment.replace(fenced, "")
    sent = b"".join(body for *_, body in server.asked).decode()
    assert "hunter2secret" not in sent
    assert "\\u001b" not in sent


def test_without_a_token_nothing_is_sent(server, tracker, monkeypatch, tmp_path):
    """The variable is named; its file works as well."""
    monkeypatch.delenv("GITHUB_TOKEN")
    told = tracker.tell(ISSUE, HELD)
    assert (told.status, told.reason) == ("kept", "GITHUB_TOKEN or GH_TOKEN is not set")
    assert server.asked == []
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("GITHUB_TOKEN_FILE", str(file))
    assert tracker.tell(ISSUE, HELD).status == "delivered"


def test_nobody_listens_there(tracker, server, tmp_path):
    """It is given up at the deadline."""
    toml = tmp_path / "rollout.toml"
    toml.write_text(toml.read_text().replace(str(server.port), "1"))
    told = tracker.tell(ISSUE, HELD)
    assert told.status == "kept"
    assert "connection refused" in told.reason


def test_where_none_is_configured_there_is_none(tmp_path):
    """Nor where the file is broken: the incident's own files are there in any case."""
    tracker = IssueTracker(tmp_path, WallClock())
    assert tracker.name("production") is None
    (tmp_path / "rollout.toml").write_text("[notify.github]\nrepository = 7\n")
    assert tracker.name("production") is None
    assert tracker.tell(ISSUE, HELD).status == "skipped"
