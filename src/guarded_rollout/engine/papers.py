"""What people read of a rollout, kept up to date. It is never a reason for a rollout to fail."""

import threading
from collections.abc import Callable, Iterable

from guarded_rollout.core import account
from guarded_rollout.core.account import Account
from guarded_rollout.core.deployment_text import deployment_page
from guarded_rollout.core.facts import Fact, Judged, Observed, StepBegan
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.state import Phase, State
from guarded_rollout.engine.incidents import keep_incident, utc
from guarded_rollout.engine.outbox import PATIENCE_SECONDS, Reader
from guarded_rollout.engine.record import stamp, write_report
from guarded_rollout.ports import Journal, Known, Ports

_AT_REST = frozenset({Phase.HOLDING, Phase.STUCK, Phase.DONE, Phase.ROLLED_BACK, Phase.REFUSED})
_LOOK_SECONDS = 5.0
_TICK = 0.5


def deployment_report(journal: Journal, rollout: str) -> str:
    """Look: the report as Markdown."""
    return deployment_page(account_of(journal, rollout), utc)


def account_of(journal: Journal, rollout: str) -> Account:
    """Look: the rollout as people tell it."""
    entries = journal.entries(rollout)
    return account.account_of(rollout, ((entry.seq, entry.at, entry.fact) for entry in entries))


def write_papers(ports: Ports, rollout: str) -> tuple[list[str], list[str]]:
    """The reports and the incident. Returns the files, and what went wrong, in words."""
    return _each(
        (
            lambda: [str(file) for file in write_report(ports, rollout)],
            lambda: _write_deployment(ports, rollout),
            lambda: keep_incident(ports, rollout),
        )
    )


def _each(writers: Iterable[Callable[[], Iterable[str]]]) -> tuple[list[str], list[str]]:
    files: list[str] = []
    problems: list[str] = []
    for write in writers:
        try:
            files += write()
        except Problem as problem:
            problems.append(problem.why.what)
        except OSError as error:
            problems.append(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except Exception as error:  # noqa: BLE001 - a defect here must not end a way back
            problems.append(f"unexpected {type(error).__name__}: {error}")
    return files, problems


def _write_deployment(ports: Ports, rollout: str) -> list[str]:
    """`logs/deployment_report_<env>_<ts>.md`, beside the JSON of the same time."""
    known = next(k for k in ports.journal.known() if k.rollout == rollout)
    file = report_file(known)
    ports.papers.write(file, deployment_report(ports.journal, rollout))
    return [file]


def report_file(known: Known) -> str:
    """Below the root."""
    return f"logs/deployment_report_{known.environment}_{stamp(known.began)}.md"


class Paperwork:
    """Follows a rollout, and writes its incident and its report anew when there is news."""

    def __init__(self, ports: Ports, rollout: str, say: Callable[[str], None]) -> None:
        self._ports, self._rollout, self._say = ports, rollout, say
        self._stop = threading.Event()
        self._done = 0
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="papers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Write what there is to write, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        reader = _News(self._ports.journal, self._rollout)
        while True:
            last = self._stop.is_set()
            pause = _LOOK_SECONDS if self._look(reader) else PATIENCE_SECONDS
            if last:
                return
            until = self._ports.clock.monotonic() + pause
            while not self._stop.is_set() and self._ports.clock.monotonic() < until:
                self._ports.clock.sleep(_TICK)

    def _look(self, reader: "_News") -> bool:
        """False: it did not work, and is tried again later."""
        try:
            reader.read()
        except Problem:
            return False  # the journal is away
        if reader.news <= self._done:
            return True
        news, state = reader.news, reader.story.state
        writers: list[Callable[[], Iterable[str]]] = []
        if reader.story.incident is not None:
            writers.append(lambda: keep_incident(self._ports, self._rollout))
        if _is_over(state):
            writers.append(lambda: _write_deployment(self._ports, self._rollout))
        _, problems = _each(writers)
        told = "; ".join(problems)
        if told and told != self._said:
            self._say(f"not written: {told}; the journal has everything")
        self._said = told
        if not problems:
            self._done = news
        return not problems


def _is_over(state: State) -> bool:
    kind = state.plan.kind if state.plan is not None else None
    return state.phase in _AT_REST and kind is not Kind.BACKUP


class _News(Reader):
    """Knows the newest entry that is more than a look: `news`, its number."""

    news = 0
    _phase = Phase.NEW

    def follows(self, number: int, fact: Fact) -> None:
        """A look is no news, unless something comes of it."""
        phase = self.story.state.phase
        if phase is not self._phase or not isinstance(fact, Observed | Judged | StepBegan):
            self.news = number
        self._phase = phase
