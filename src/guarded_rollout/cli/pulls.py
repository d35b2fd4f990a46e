"""`rollout pr check` and `rollout pr body`: the checklist of a pull request, proven."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from guarded_rollout.adapters.checkout import Checkout
from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.configuration.defaults import built_in
from guarded_rollout.adapters.papers import PaperFiles
from guarded_rollout.adapters.premerge_artifacts import read_bundle
from guarded_rollout.cli.hub import open_hub
from guarded_rollout.cli.protecting import owners_file, owners_wanted, write_text
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.gates import Gates
from guarded_rollout.core.problems import NotPossible, Problem, Why
from guarded_rollout.core.pull_approvals import (
    OPS,
    approval_items,
    monitoring_item,
    monitoring_numbers,
    protection_item,
)
from guarded_rollout.core.pull_body import body_text
from guarded_rollout.core.pull_checklist import (
    ASKED,
    TITLES,
    Item,
    Mark,
    artifact_items,
    run_items,
    unasked,
)
from guarded_rollout.core.reviews import Pull
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import Environment
from guarded_rollout.github.protection import owners_errors, read_protection
from guarded_rollout.github.pulls import PullAnswer, pull_answer, pulls_with, whole_pull
from guarded_rollout.github.repository import Repository
from guarded_rollout.github.runs import PREMERGE, jobs, newest_run

T = TypeVar("T")
TEMPLATE = "pr/body.md"
_OFFLINE = "GitHub was not asked (--offline)"


def check(args: argparse.Namespace) -> int:
    """Every item, one line each. 1 when one is red."""
    screen = args.screen
    found, _ = _proven(args, Places(args.root))
    screen.lines([str(one) for one in found])
    red = sum(one.mark is Mark.RED for one in found)
    left = sum(one.mark is Mark.UNASKED for one in found)
    screen.line(
        f"{red} of {len(found)} items are not proven"
        if red
        else f"nothing is red; {left} of {len(found)} items were not checked"
        if left
        else f"all {len(found)} items are as they must be"
    )
    screen.document(
        {"green": not red and not left, "red": red, "items": [asdict(one) for one in found]}
    )
    return 1 if red else 0


def body(args: argparse.Namespace) -> int:
    """The template, filled. What is not proven is not ticked, and says why."""
    places = Places(args.root)
    template = PaperFiles(places.root).template(TEMPLATE)
    found, pull = _proven(args, places)
    known = None if isinstance(pull, Why) else pull[1]
    subject = _tried(Checkout(places.root).subject)
    title = args.title or (subject if isinstance(subject, str) else places.root.name)
    head = known.head if known is not None else _commit(places.root)
    text = body_text(template, found, title, known.url if known else "", head or "no commit")
    if args.out is not None:
        write_text(Path(args.out), text)
        ticks = sum(one.mark is Mark.PROVEN for one in found)
        args.screen.line(f"{args.out} is written: {ticks} of {len(found)} items are ticked")
    else:
        args.screen.lines(text.splitlines())
    args.screen.document({"text": text, "items": [asdict(one) for one in found]})
    return 0


def _proven(
    args: argparse.Namespace, places: Places
) -> tuple[tuple[Item, ...], tuple[Repository, Pull] | Why]:
    """Every item, in the order of the documents."""
    environment = load_spec(places.root, args.env).environment
    pull = Why(_OFFLINE) if args.offline else _tried(lambda: _pull(args, places))
    head = pull[1].head if not isinstance(pull, Why) else _commit(places.root)
    bundle = _tried(lambda: read_bundle(places.root / args.artifacts))
    items = [*artifact_items(bundle, head), *_asked(args, places, environment, pull)]
    return tuple(sorted(items, key=lambda one: list(TITLES).index(one.key))), pull


def _asked(
    args: argparse.Namespace,
    places: Places,
    environment: Environment,
    pull: tuple[Repository, Pull] | Why,
) -> tuple[Item, ...]:
    numbers = _numbers(
        environment.gates, environment.watch.schedule, environment.watch.auto_rollback
    )
    policy = built_in(environment.name)
    usual = _numbers(policy.gates, policy.schedule, policy.auto_rollback)
    words = [f"{name}: {value}" for name, value in numbers.items()]
    differ = monitoring_numbers(numbers, usual)
    if args.offline:
        silent = {key: unasked(key, _OFFLINE) for key in ASKED}
        silent["monitoring"] = monitoring_item(words, differ, silent["ops"], asked=False)
        return tuple(silent.values())
    if isinstance(pull, Why):
        of_ops, reviewers = approval_items(pull, environment.signoffs)
        watched = monitoring_item(words, differ, of_ops, asked=True)
        hub = _tried(lambda: open_hub(places, args.env))
        protected = _protection(args, places, environment, hub, ())
        return (*run_items(pull, ()), protected, of_ops, watched, reviewers)
    hub, known = pull
    run = _tried(lambda: newest_run(hub, PREMERGE, known.head))
    listed = () if run is None or isinstance(run, Why) else _tried(lambda: jobs(hub, run))
    links = run_items(listed, ()) if isinstance(listed, Why) else run_items(run, listed)
    names = () if isinstance(listed, Why) else tuple(one.name for one in listed)
    of_ops, reviewers = approval_items(known, environment.signoffs)
    watched = monitoring_item(words, differ, of_ops, asked=True)
    protected = _protection(args, places, environment, hub, names)
    return (*links, protected, of_ops, watched, reviewers)


def _protection(
    args: argparse.Namespace,
    places: Places,
    environment: Environment,
    hub: Repository | Why,
    checks: tuple[str, ...],
) -> Item:
    file, text = owners_file(places.root)
    owners = (file, text, args.owners or owners_wanted(environment.signoffs, OPS))
    if isinstance(hub, Why):
        return protection_item(hub, checks, owners, ())
    setting = _tried(lambda: read_protection(hub, args.branch))
    errors = _tried(
        lambda: tuple(
            f"{one.path}:{one.line}: {one.kind}" for one in owners_errors(hub, args.branch)
        )
    )
    return protection_item(setting, checks, owners, errors)


def _pull(args: argparse.Namespace, places: Places) -> tuple[Repository, Pull]:
    """As named, or the open one of the commit that is checked out."""
    hub = open_hub(places, args.env)
    if args.pr is not None:
        return hub, whole_pull(hub, pull_answer(hub, args.pr))
    commit = Checkout(places.root).commit()
    answers = [pull_answer(hub, number) for number in pulls_with(hub, commit)]
    fits: list[PullAnswer] = [one for one in answers if one.head.sha == commit]
    if len(fits) != 1:
        raise NotPossible(
            f"{len(fits) or 'no'} pull requests have {commit[:12]} as their head",
            "push it, or say which: --pr N",
        )
    return hub, whole_pull(hub, fits[0])


def _commit(root: Path) -> str | None:
    found = _tried(Checkout(root).commit)
    return None if isinstance(found, Why) else found


def _tried(ask: Callable[[], T]) -> T | Why:
    """One item that cannot be known is red; the others are still looked at."""
    try:
        return ask()
    except Problem as problem:
        return problem.why


def _numbers(gates: Gates, schedule: Schedule, rolls_back: bool) -> Mapping[str, object]:  # noqa: FBT001
    return {
        "watched for": minutes(schedule.duration),
        "looked at every": f"{minutes(schedule.first_every)} for {minutes(schedule.first_for)}, "
        f"then {minutes(schedule.then_every)}",
        "rolls back by itself": "yes" if rolls_back else "no",
        "failed health checks in a row": f"> {gates.health.threshold}",
        "extraction failures": f"> {gates.failure_rate.threshold:g} % in "
        f"{minutes(gates.failure_rate.window)}",
        "p95 of hashing": f"> {gates.duration.threshold:g} ms in {minutes(gates.duration.window)}",
        "low-confidence queue": f"> {gates.queue.threshold:g}",
    }
