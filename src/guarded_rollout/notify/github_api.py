"""One request to GitHub's REST API, its pages, and what its refusals mean.

Source: version 2022-11-28, https://docs.github.com/rest; limits,
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api; pages,
https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from guarded_rollout.notify.answers import Answer, Attempt, Came
from guarded_rollout.notify.message import encoded
from guarded_rollout.notify.posting import AGENT, Reply, Request, exchange, retry_after
from guarded_rollout.notify.text import hide
from guarded_rollout.notify.variables import Environ, Found, Missing, required

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
VERSION = "2022-11-28"
MOST_PAGES = 30
PER_PAGE = 100

_PAGE_BYTES = 16 * 2**20
_AT_LEAST_A_MINUTE = 60.0
_NEXT = re.compile(r'<[^>]*>\s*;[^,]*\brel="?next\b')


class Refused(Exception):  # noqa: N818 - it carries an answer out of the sequence
    """There is no reply that is of use. `status`: GitHub's; None: it did not answer."""

    def __init__(self, answer: Answer, status: int | None = None) -> None:
        super().__init__(answer.reason)
        self.answer = answer
        self.status = status


@dataclass(frozen=True, slots=True)
class Hub:
    """One repository, owner/name, at one API. `seconds`: how long one request may take.

    `because`: what a status means for what is done there, where that is known.
    """

    api: str
    repository: str
    token: Found = field(repr=False)
    seconds: float
    now: Callable[[], float]
    because: Mapping[int, str] = field(default_factory=dict)

    def exchange(
        self, attempt: Attempt, method: str, path: str, content: Mapping[str, Any] | None = None
    ) -> Reply:
        """One request. Raises Refused for all but 200 and 201."""
        request = Request(
            url=f"{self.api}/repos/{self.repository}{path}",
            body=encoded(dict(content)) if content is not None else b"",
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token.value}",
                "X-GitHub-Api-Version": VERSION,
                "User-Agent": AGENT,
                "Connection": "close",
                **({"Content-Type": "application/json"} if content is not None else {}),
            },
            secrets=(self.token.value,),
            method=method,
            at_most=_PAGE_BYTES,
        )
        reply = exchange(request, attempt, self.seconds)
        if isinstance(reply, Answer):
            # What was sent is looked for before it is sent again: unsure is as good as later.
            came = Came.LATER if reply.came is Came.UNSURE else reply.came
            raise Refused(replace(reply, came=came))
        if reply.status not in {200, 201}:
            raise Refused(self._why(reply), reply.status)
        return reply

    def _why(self, reply: Reply) -> Answer:
        """What a person can do about it, and when to come again."""
        status, said = reply.status, _message(reply, self.token.value)
        wait = _limited(reply, said, self.now())
        if wait is not None:
            reason = f"{reply.where}: rate limit, come again in {wait:.0f} s ({status}: {said})"
            return Answer(Came.LATER, reason, wait)
        if status >= 500 or status in {408, 425}:
            wait = retry_after(reply, self.now())
            return Answer(Came.LATER, f"{reply.where} answered {status}: {said}", wait)
        token, repository = self.token.variable, self.repository
        known = {
            401: f"{token} is not accepted",
            404: f"{repository} is not there, or {token} may not see it",
            **self.because,
        }
        moved = f"{repository} has moved: write its new name into [notify.github]"
        reason = known.get(status, moved if 300 <= status < 400 else "refused")
        return Answer(Came.REFUSED, f"{reason} ({reply.where} answered {status}: {said})")


def pages(
    fetch: Callable[[str], Reply], path: str, key: str | None = None
) -> Iterator[dict[str, Any]]:
    """Every entry of a list, page after page. `key`: where in the answer the list stands.

    Raises Refused when it is longer than is looked at.
    """
    joint = "&" if "?" in path else "?"
    for page in range(1, MOST_PAGES + 1):
        reply = fetch(f"{path}{joint}per_page={PER_PAGE}&page={page}")
        found = parsed(reply)
        if key is not None and isinstance(found, dict):
            found = found.get(key)
        if not isinstance(found, list):
            raise Refused(Answer(Came.LATER, f"{reply.where} answered with no list"))
        yield from (one for one in found if isinstance(one, dict))
        if not _NEXT.search(reply.headers.get("Link", "")):
            return
    what = f"there are more than {MOST_PAGES * PER_PAGE} entries"
    raise Refused(Answer(Came.REFUSED, f"{what}: whether it is there is not known"))


def parsed(reply: Reply) -> Any:  # noqa: ANN401 - JSON
    """The answer's JSON. Raises Refused."""
    try:
        return json.loads(reply.body)
    except ValueError:
        raise Refused(Answer(Came.LATER, f"{reply.where} answered with no JSON")) from None


def token_of(environ: Environ) -> Found:
    """The token, and the variable that it came from. Raises Missing."""
    found = required(TOKENS, environ)
    if not (found.value.isascii() and found.value.isprintable()) or " " in found.value:
        raise Missing(f"{found.variable} cannot stand in a header")
    return found


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
