"""`rollout premerge`: everything that can be tried before a change is merged, and its papers."""

import argparse
import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from guarded_rollout import __version__
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import environments, load_spec
from guarded_rollout.adapters.throwaway import changed_files, commit_of
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.cli.check_files import moment
from guarded_rollout.cli.premerge_site import TrialSite, trial_site
from guarded_rollout.cli.premerge_steps import (
    NOT_ENDED,
    SHIP,
    Task,
    run_child,
    said_why,
    tasks,
)
from guarded_rollout.cli.screen import Screen, tell
from guarded_rollout.core import premerge_manifest, premerge_summary
from guarded_rollout.core.premerge_manifest import (
    File,
    Manifest,
    Sort,
    Status,
    Step,
    all_passed,
    manifest_of,
    text_of,
)
from guarded_rollout.core.problems import BadInput, Broken, NotPossible, Problem
from guarded_rollout.core.redact import redact

FOLDER = "premerge_artifacts"
_SORTS: dict[str, Sort] = {".log": "log", ".zip": "backup", ".sha256": "checksum", ".xml": "junit"}
_CLOCK = SystemClock()

Handler: TypeAlias = Callable[[int, FrameType | None], object] | signal.Handlers


def premerge(args: argparse.Namespace) -> int:
    """0: no step failed. 1: one did, or nothing could be tried."""
    root: Path = args.root
    out = Path(args.out).absolute() if args.out else root / FOLDER
    planned = tasks(args.env)
    began = Manifest(
        tool=__version__,
        commit=commit_of(root),
        clean=changed_files(root) == (),
        began=_CLOCK.now(),
        ended=_CLOCK.now(),
        platform=sys.platform,
        environment=args.env,
        steps=tuple(
            Step(task.name, task.command, "failed", None, 0.0, None, NOT_ENDED) for task in planned
        ),
        files=(),
        passed=False,
    )
    _make_room(out)
    _write(out / premerge_manifest.NAME, text_of(began))
    args.when_interrupted = f"what was being tried is taken down; {out.name} says how far it came"
    run = Run(args.screen, root, args.env, out, quick=args.quick)
    with _sigterm_interrupts():
        try:
            run.all(planned, args.base)
        finally:
            manifest = _papers(run, began)
    args.screen.document(json.loads(text_of(manifest)))
    args.screen.line(f"{'passed' if manifest.passed else 'FAILED'}: {out / premerge_summary.NAME}")
    return 0 if manifest.passed else 1


_POSIX_ONLY = "it needs Linux or macOS: their file locks, processes and sockets"
_QUICK = "--quick: nothing is shipped"


@dataclass(slots=True)
class Run:
    """What is being tried, and what came of it. `quick`: nothing is shipped."""

    screen: Screen
    root: Path
    environment: str
    out: Path
    quick: bool
    steps: list[Step] = field(default_factory=list)

    def all(self, planned: tuple[Task, ...], base: str | None) -> None:
        """Every step; afterwards the site is gone, whatever happened."""
        site = trial_site(self.root, self.environment, base)
        try:
            for task in planned:
                step = self._try(task, site)
                self.steps.append(step)
                self.screen.line(
                    f"{step.status:<8} {step.name:<18} {step.seconds:6.1f} s  {step.why}".rstrip()
                )
            self._collect(site)
        finally:
            with _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)):
                _take_down(site)

    def _try(self, task: Task, site: TrialSite) -> Step:
        began = _CLOCK.monotonic()
        log = self.out / task.log
        code: int | None = None
        why = self._why_not(task)
        status: Status = "skipped"
        if not why:
            try:
                code = self._run(task, site, log)
                why = said_why(log, code) if code else ""
                status = "failed" if why else "passed"
            except NotPossible as problem:
                why = _one_line(problem)
            except Problem as problem:
                status, why = "failed", _one_line(problem)
            except OSError as error:
                status, why = "failed", f"it could not be tried: {error}"
        there = task.log if log.exists() else None
        seconds = round(_CLOCK.monotonic() - began, 3)
        return Step(task.name, task.command, status, code, seconds, there, redact(why))

    def _why_not(self, task: Task) -> str:
        if task.at_site and sys.platform == "win32":
            return _POSIX_ONLY
        if task.at_site and self.quick:
            return _QUICK
        for step in self.steps:
            if step.name in task.needs and step.status != "passed":
                was = "failed" if step.status == "failed" else "was skipped"
                return f"it needs {step.name}, which {was}"
        return ""

    def _run(self, task: Task, site: TrialSite, log: Path) -> int | None:
        if task.words:
            if task.name == SHIP:
                site.lay_candidate()
            return run_child(task, site.folder if task.at_site else self.root, log)
        lines = site.make() if task.at_site else self._configuration(site.work / "gates.json")
        with log.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(f"{redact(line)}\n")
        return None

    def _configuration(self, no_gates: Path) -> Iterator[str]:
        """Every environment's files but the gates, which have a step of their own."""
        no_gates.write_text("{}", "utf-8")
        for name in environments(self.root):
            spec = load_spec(self.root, name, no_gates)
            of = spec.environment
            address = f"{of.listen_host}:{of.listen_port}"
            yield f"{name}: {address}, {of.database.kind}, {of.replicas} replicas, {of.strategy}"
            yield from (f"  warning: {warning}" for warning in spec.warnings)

    def _collect(self, site: TrialSite) -> None:
        """What the commands left at the site."""
        for pattern in ("backups/dhash_*.zip*", "monitor_logs/*", "junit-*.xml"):
            for file in sorted(site.folder.glob(pattern)):
                to = self.out / file.relative_to(site.folder)
                to.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, to)


def _papers(run: Run, began: Manifest) -> Manifest:
    """The summary and the manifest, of whatever was tried."""
    steps = (*run.steps, *began.steps[len(run.steps) :])
    site_log = run.out / "site.log"
    text = site_log.read_text("utf-8") if site_log.exists() else ""
    about = tuple(text.partition("\n\n")[0].splitlines())
    manifest = replace(
        began, ended=_CLOCK.now(), steps=steps, files=_files(run.out), passed=all_passed(steps)
    )
    ended = f"{moment(manifest.ended)} UTC"
    _write(run.out / premerge_summary.NAME, premerge_summary.summary(manifest, ended, about))
    manifest = replace(manifest, files=_files(run.out))
    _write(run.out / premerge_manifest.NAME, text_of(manifest))
    return manifest


def _one_line(problem: Problem) -> str:
    return " -> ".join(filter(None, (problem.why.what, problem.why.hint)))


def _files(out: Path) -> tuple[File, ...]:
    """All but the manifest, with their digests."""
    found = []
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        path = file.relative_to(out).as_posix()
        if path != premerge_manifest.NAME:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            sort: Sort = "summary" if path == premerge_summary.NAME else "report"
            sort = _SORTS.get(file.suffix, sort)
            found.append(File(path, digest, file.stat().st_size, sort))
    return tuple(found)


def _make_room(out: Path) -> None:
    """An empty folder. What another run left is removed; what is not premerge's is refused."""
    hint = "move it away, or name another folder: --out FOLDER"
    try:
        if out.is_dir() and not out.is_symlink():
            if any(out.iterdir()):
                manifest_of((out / premerge_manifest.NAME).read_bytes(), str(out))
            shutil.rmtree(out)
        out.mkdir(mode=0o700, parents=True)
    except FileNotFoundError:
        raise BadInput(f"{out} is there and was not written by premerge", hint) from None
    except BadInput as problem:
        raise BadInput(
            f"{problem.why.what}, so what lies beside it may not be premerge's", hint
        ) from None
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror}", hint) from error


def _write(file: Path, text: str) -> None:
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise Broken(f"{file} cannot be written: {error.strerror}", "make room there") from error


def _take_down(site: TrialSite) -> None:
    try:
        site.take_down()
    except (Problem, OSError) as problem:
        tell(f"warning: something of the throwaway copy may still run: {problem}")


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A build server that cancels a job sends SIGTERM: the site must not outlive that."""

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled({signal.SIGTERM: interrupted}):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """These signals are handled so for a while."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
