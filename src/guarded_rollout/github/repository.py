"""A repository on GitHub: what is asked is waited for a bounded time, and then given up clearly."""

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from guarded_rollout.core.problems import BadInput, Broken, NotPossible, Problem
from guarded_rollout.core.signoff_policy import Reviewed
from guarded_rollout.notify.answers import Attempt, Came
from guarded_rollout.notify.github_api import Hub, Refused, pages, parsed, token_of
from guarded_rollout.notify.patience import Patience
from guarded_rollout.notify.posting import Reply
from guarded_rollout.notify.variables import Environ, Missing

if TYPE_CHECKING:
    from guarded_rollout.ports import Clock

T = TypeVar("T")
_HINTS: Mapping[int, str] = {
    401: "make a new token, and set GITHUB_TOKEN (or GH_TOKEN, or GITHUB_TOKEN_FILE) to it",
    403: "give the token what docs/reference/github.md lists, or use one of a person who may",
    404: "compare [notify.github] repository; a token without access gets the same answer",
    422: "what was asked for does not fit: compare the branch, and what the message names",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. Every request is tried again within `patience.deadline` seconds in all."""

    where: Reviewed
    clock: "Clock"
    environ: Environ = field(default_factory=lambda: os.environ, repr=False)
    chance: Callable[[], float] = random.random
    patience: Patience = field(default_factory=Patience)

    def get(self, path: str, kind: type[T], because: Mapping[int, str] | None = None) -> T:
        """Look: one answer. `path`: below the repository. A Problem says what to do."""
        return self._made(lambda: _typed(parsed(self._sent("GET", path, None, because)), kind))

    def every(
        self, path: str, kind: type[T], key: str | None = None, most: int | None = None
    ) -> tuple[T, ...]:
        """Look: a list, all its pages, or the first `most`. `key`: where in the answer it is."""

        def fetch(page: str) -> Reply:
            return self._sent("GET", page, None, None)

        def ask() -> tuple[T, ...]:
            return tuple(_typed(one, kind) for one in islice(pages(fetch, path, key), most))

        return self._made(ask)

    def set(
        self, method: str, path: str, content: Mapping[str, Any], because: Mapping[int, str]
    ) -> None:
        """PUT or PATCH it. Asked twice it is the same."""
        self._made(lambda: self._sent(method, path, content, because))

    def _made(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except Refused as refused:
            raise _problem(refused) from None
        except msgspec.ValidationError as error:
            where = f"{self.where.repository}: GitHub's answer is not as it is described"
            raise Broken(f"{where}: {error}", "try again; if it stays, report it") from None

    def _sent(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None,
        because: Any,  # noqa: ANN401
    ) -> Reply:
        try:
            token = token_of(self.environ)
        except Missing as missing:
            raise BadInput(str(missing), _HINTS[401]) from None
        hub = Hub(
            self.where.api,
            self.where.repository,
            token,
            self.patience.answer,
            self.clock.now,
            {403: f"{token.variable} may not do that", **(because or {})},
        )
        until = self.clock.monotonic() + self.patience.deadline
        attempt = 0
        while True:
            attempt += 1
            try:
                return hub.exchange(Attempt(), method, path, content)
            except Refused as refused:
                pause = self.patience.pause(attempt, refused.answer.wait, self.chance())
                late = self.clock.monotonic() + pause >= until
                last = attempt == self.patience.attempts
                if refused.answer.came is not Came.LATER or late or last:
                    raise
            self.clock.sleep(pause)


def _typed(content: object, kind: type[T]) -> T:
    return msgspec.convert(content, kind)


def _problem(refused: Refused) -> Problem:
    if refused.answer.came is Came.LATER:
        return Broken(refused.answer.reason, "try again later; nothing was changed")
    hint = _HINTS.get(refused.status or 0, "docs/reference/github.md")
    return NotPossible(refused.answer.reason, hint)
