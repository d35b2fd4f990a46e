"""One GitHub issue for each incident, and its news as comments. Closing it is left to people.

Nothing is posted before it was looked for, by a mark in the text: whoever dies between sending and
writing it down leaves no second issue. Source: GitHub REST API, version 2022-11-28, issues and
issue comments, https://docs.github.com/rest/issues; limits,
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.
"""

import hashlib
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guarded_rollout.core.markdown import block, span
from guarded_rollout.core.notice import GithubIssues, Notice
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.shown_text import fit, one_line
from guarded_rollout.notify.answers import Answer, Attempt, Came, in_time
from guarded_rollout.notify.ledger import Status
from guarded_rollout.notify.message import encoded, iso
from guarded_rollout.notify.patience import Patience
from guarded_rollout.notify.posting import AGENT, Reply, Request, exchange, retry_after
from guarded_rollout.notify.settings import load_policy
from guarded_rollout.notify.text import clean, hide
from guarded_rollout.notify.variables import Missing, required
from guarded_rollout.ports import Issue, Told

if TYPE_CHECKING:
    from guarded_rollout.ports import Clock

NAME = "github"
"""Of the tracker, where channels are named."""

TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the variable's name
VERSION = "2022-11-28"
MOST_PAGES = 30
PER_PAGE = 100
TITLE, BODY = 250, 65_000
"""GitHub takes titles of 256 and texts of 65,536 characters."""

_PAGE_BYTES = 16 * 2**20
_AT_LEAST_A_MINUTE = 60.0
_NEXT = re.compile(r'<[^>]*>\s*;[^,]*\brel="?next\b')


class _Refused(Exception):  # noqa: N818 - it carries an answer out of the sequence
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


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
            token = _token(os.environ)
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
        self, where: GithubIssues, token: str, issue: Issue, news: Notice, left: float
    ) -> Answer:
        seconds = max(0.1, min(self.patience.answer, left))

        def run(attempt: Attempt) -> Answer:
            try:
                return _Told(where, token, attempt, seconds, self.clock.now).tell(issue, news)
            except _Refused as refused:
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

    where: GithubIssues
    token: str
    attempt: Attempt
    seconds: float
    now: Callable[[], float]

    def tell(self, issue: Issue, news: Notice) -> Answer:
        ours, told = mark(issue.name), mark(news.key)
        known = self._find(ours, issue.since)
        if known is None:
            body = fit(f"{ours}\n{told}\n{issue.body}", BODY)
            content = {"title": one_line(issue.title, TITLE), "body": body}
            labels = {"labels": list(self.where.labels)} if self.where.labels else {}
            made = self._ask("POST", "issues", {**content, **labels})
            return Answer(Came.DELIVERED, _address(made))
        if told not in str(known.get("body")) and not self._has(known, told):
            path = f"issues/{known['number']}/comments"
            self._ask("POST", path, {"body": fit(f"{told}\n{comment(news)}", BODY)})
        return Answer(Came.DELIVERED, _address(known))

    def _find(self, ours: str, since: float) -> dict[str, Any] | None:
        """The issue with the mark, open or closed, among those touched since the rollout began."""
        path = f"issues?state=all&sort=created&direction=desc&since={iso(since)}"
        return next(
            (
                one
                for one in self._pages(path)
                if ours in str(one.get("body")) and "pull_request" not in one
            ),
            None,
        )

    def _has(self, issue: Mapping[str, Any], told: str) -> bool:
        comments = self._pages(f"issues/{issue['number']}/comments?")
        return any(told in str(one.get("body")) for one in comments)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, MOST_PAGES + 1):
            reply = self._exchange("GET", f"{path}&per_page={PER_PAGE}&page={page}", None)
            found = _json(reply)
            if not isinstance(found, list):
                raise _Refused(Answer(Came.LATER, f"{reply.where} answered with no list"))
            yield from (one for one in found if isinstance(one, dict))
            if not _NEXT.search(reply.headers.get("Link", "")):
                return
        what = f"more than {MOST_PAGES * PER_PAGE} entries were touched since the rollout began"
        raise _Refused(Answer(Came.REFUSED, f"{what}: whether it is there is not known"))

    def _ask(self, method: str, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        made = _json(self._exchange(method, path, content))
        return made if isinstance(made, dict) else {}

    def _exchange(self, method: str, path: str, content: Mapping[str, Any] | None) -> Reply:
        request = Request(
            url=f"{self.where.api}/repos/{self.where.repository}/{path}",
            body=encoded(dict(content)) if content is not None else b"",
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "X-GitHub-Api-Version": VERSION,
                "User-Agent": AGENT,
                "Connection": "close",
                **({"Content-Type": "application/json"} if content is not None else {}),
            },
            secrets=(self.token,),
            method=method,
            at_most=_PAGE_BYTES,
        )
        reply = exchange(request, self.attempt, self.seconds)
        if isinstance(reply, Answer):
            # What was sent is looked for before it is sent again: unsure is as good as later.
            came = Came.LATER if reply.came is Came.UNSURE else reply.came
            raise _Refused(replace(reply, came=came))
        if reply.status not in {200, 201}:
            raise _Refused(_why(reply, self.where.repository, self.token, self.now()))
        return reply


def mark(name: str) -> str:
    """By which an issue or a comment is found again. Not seen where Markdown is shown."""
    return f"<!-- guarded-rollout {hashlib.sha256(name.encode()).hexdigest()[:32]} -->"


def comment(news: Notice) -> str:
    """A piece of news as Markdown; its texts are data."""
    safe = clean(news)
    lines = [f"{span(safe.type)} at {iso(safe.at)}", "", *block([safe.message, *safe.evidence])]
    return "\n".join(lines)


def _token(environ: Mapping[str, str]) -> str:
    found = required((TOKEN,), environ)
    if not (found.value.isascii() and found.value.isprintable()) or " " in found.value:
        raise Missing(f"{found.variable} cannot stand in a header")
    return found.value


def _json(reply: Reply) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(reply.body)
    except ValueError:
        raise _Refused(Answer(Came.LATER, f"{reply.where} answered with no JSON")) from None


def _address(issue: Mapping[str, Any]) -> str:
    return one_line(str(issue.get("html_url", "")), 200)


def _why(reply: Reply, repository: str, token: str, now: float) -> Answer:
    """What a person can do about it, and when to come again."""
    status, said = reply.status, _message(reply, token)
    wait = _limited(reply, said, now)
    if wait is not None:
        reason = f"{reply.where}: rate limit, come again in {wait:.0f} s ({status}: {said})"
        return Answer(Came.LATER, reason, wait)
    if status >= 500 or status in {408, 425}:
        wait = retry_after(reply, now)
        return Answer(Came.LATER, f"{reply.where} answered {status}: {said}", wait)
    known = {
        401: f"{TOKEN} is not accepted",
        403: f"{TOKEN} may not write issues of {repository}",
        404: f"{repository} is not there, or {TOKEN} may not see it",
        410: f"issues are switched off in {repository}",
        422: "the issue is not accepted",
    }
    moved = f"{repository} has moved: write its new name into [notify.github]"
    reason = known.get(status, moved if 300 <= status < 400 else "refused")
    return Answer(Came.REFUSED, f"{reason} ({reply.where} answered {status}: {said})")


def _limited(reply: Reply, said: str, now: float) -> float | None:
    """Seconds until GitHub hears us again; None: that is not why it refused."""
    if reply.status not in {403, 429}:
        return None
    asked = retry_after(reply, now)
    if asked is not None:
        return asked
    if reply.headers.get("x-ratelimit-remaining") == "0":
        try:
            return max(1.0, float(reply.headers.get("x-ratelimit-reset", "")) - now)
        except ValueError:
            return _AT_LEAST_A_MINUTE
    limited = reply.status == 429 or "rate limit" in said.lower()
    return _AT_LEAST_A_MINUTE if limited else None


def _message(reply: Reply, token: str) -> str:
    """GitHub's own words, without secrets."""
    try:
        told = json.loads(reply.body)
        return hide(str(told["message"]), (token,))
    except (ValueError, KeyError, TypeError):
        return reply.said
