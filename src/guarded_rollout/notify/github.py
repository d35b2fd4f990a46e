"""One GitHub issue for each incident, and its news as comments. Closing it is left to people.

Nothing is posted before it was looked for, by a mark in the text: whoever dies between sending and
writing it down leaves no second issue. Source: GitHub REST API, version 2022-11-28, issues and
issue comments, https://docs.github.com/rest/issues.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guarded_rollout.core.markdown import block, span
from guarded_rollout.core.notice import GithubIssues, Notice
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.shown_text import fit, one_line
from guarded_rollout.notify.answers import Answer, Attempt, Came, in_time
from guarded_rollout.notify.github_api import Hub, Refused, pages, parsed, token_of
from guarded_rollout.notify.ledger import Status
from guarded_rollout.notify.message import iso
from guarded_rollout.notify.patience import Patience
from guarded_rollout.notify.settings import load_policy
from guarded_rollout.notify.text import clean
from guarded_rollout.notify.variables import Found, Missing
from guarded_rollout.ports import Issue, Told

if TYPE_CHECKING:
    from guarded_rollout.ports import Clock

NAME = "github"
"""Of the tracker, where channels are named."""

TITLE, BODY = 250, 65_000
"""GitHub takes titles of 256 and texts of 65,536 characters."""


@dataclass(frozen=True, slots=True)
class IssueTracker:
    """Satisfies ports.Tracker. The section is read anew each time, as channels are."""

    root: Path
    clock: "Clock"
    chance: Callable[[], float] = random.random
    patience: Patience = field(default_factory=Patience)

    def name(self, environment: str) -> str | None:
        """Look: what it is called among the channels; None: none is configured."""
        return NAME if self._configured(environment)[0] is not None else None

    def tell(self, issue: Issue, news: Notice) -> Told:
        """See to it that the issue is there, and that it has this piece of news once."""
        where, patience = self._configured(issue.environment)
        if where is None:
            return Told(str(Status.SKIPPED), 0, "[notify.github] is there no more")
        try:
            token = token_of(os.environ)
        except Missing as missing:
            return Told(str(Status.KEPT), 0, str(missing))
        until = self.clock.monotonic() + patience.deadline
        attempt, answer = 0, Answer(Came.LATER, "it was not tried")
        while attempt < patience.attempts:
            attempt += 1
            answer = self._once(where, token, issue, news, until - self.clock.monotonic())
            if answer.came is Came.DELIVERED:
                return Told(str(Status.DELIVERED), attempt, answer.reason)
            if answer.came is Came.REFUSED:
                break
            pause = patience.pause(attempt, answer.wait, self.chance())
            if self.clock.monotonic() + pause >= until:
                late = f"{answer.reason}; the next attempt in {pause:.0f} s would be too late"
                answer = replace(answer, reason=late)
                break
            self.clock.sleep(pause)
        return Told(str(Status.KEPT), attempt, answer.reason)

    def _once(
        self, where: GithubIssues, token: Found, issue: Issue, news: Notice, left: float
    ) -> Answer:
        seconds = max(0.1, min(self.patience.answer, left))
        because = {
            403: f"{token.variable} may not write issues of {where.repository}",
            410: f"issues are switched off in {where.repository}",
            422: "the issue is not accepted",
        }
        hub = Hub(where.api, where.repository, token, seconds, self.clock.now, because)

        def run(attempt: Attempt) -> Answer:
            try:
                return _Told(hub, attempt, where.labels).tell(issue, news)
            except Refused as refused:
                return refused.answer

        return in_time(run, max(seconds, left) + 0.5)

    def _configured(self, environment: str) -> tuple[GithubIssues | None, Patience]:
        """A broken file configures nothing here: the incident's own files are there in any case."""
        try:
            policy = load_policy(self.root, environment)
        except Problem:
            return None, self.patience
        return policy.github, replace(self.patience, deadline=policy.deadline)


@dataclass(frozen=True, slots=True)
class _Told:
    """One attempt: look, then post what is missing."""

    hub: Hub
    attempt: Attempt
    labels: tuple[str, ...]

    def tell(self, issue: Issue, news: Notice) -> Answer:
        ours, told = mark(issue.name), mark(news.key)
        known = self._find(ours, issue.since)
        if known is None:
            body = fit(f"{ours}\n{told}\n{issue.body}", BODY)
            content = {"title": one_line(issue.title, TITLE), "body": body}
            labels = {"labels": list(self.labels)} if self.labels else {}
            made = self._ask("/issues", {**content, **labels})
            return Answer(Came.DELIVERED, _address(made))
        if told not in str(known.get("body")) and not self._has(known, told):
            path = f"/issues/{known['number']}/comments"
            self._ask(path, {"body": fit(f"{told}\n{comment(news)}", BODY)})
        return Answer(Came.DELIVERED, _address(known))

    def _find(self, ours: str, since: float) -> dict[str, Any] | None:
        """The issue with the mark, open or closed, among those touched since the rollout began."""
        path = f"/issues?state=all&sort=created&direction=desc&since={iso(since)}"
        return next(
            (
                one
                for one in self._pages(path)
                if ours in str(one.get("body")) and "pull_request" not in one
            ),
            None,
        )

    def _has(self, issue: Mapping[str, Any], told: str) -> bool:
        comments = self._pages(f"/issues/{issue['number']}/comments")
        return any(told in str(one.get("body")) for one in comments)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        return pages(lambda page: self.hub.exchange(self.attempt, "GET", page), path)

    def _ask(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        made = parsed(self.hub.exchange(self.attempt, "POST", path, content))
        return made if isinstance(made, dict) else {}


def mark(name: str) -> str:
    """By which an issue or a comment is found again. Not seen where Markdown is shown."""
    return f"<!-- guarded-rollout {hashlib.sha256(name.encode()).hexdigest()[:32]} -->"


def comment(news: Notice) -> str:
    """A piece of news as Markdown; its texts are data."""
    safe = clean(news)
    lines = [f"{span(safe.type)} at {iso(safe.at)}", "", *block([safe.message, *safe.evidence])]
    return "\n".join(lines)


def _address(issue: Mapping[str, Any]) -> str:
    return one_line(str(issue.get("html_url", "")), 200)
