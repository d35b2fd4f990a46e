"""Which configuration a command works with: the files', or the one a rollout was begun with."""

import argparse
from dataclasses import replace
from pathlib import Path

from guarded_rollout.adapters.configuration import load_spec, minutes, with_duration
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import Spec
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.situation import recorded_plan
from guarded_rollout.ports import Journal, Known


def spec_for(args: argparse.Namespace, places: Places) -> Spec:
    """The files, with the command line's changes."""
    gates = getattr(args, "config", None)
    spec = load_spec(places.root, args.env, Path(gates) if gates else None)
    if getattr(args, "source", None):
        source = Path(args.source).absolute()
        spec = replace(spec, service=replace(spec.service, source=str(source)))
    if getattr(args, "duration", None) is not None:
        spec = with_duration(spec, minutes(args.duration))
    return spec


def spec_or_frozen(
    args: argparse.Namespace, places: Places, journal: Journal, screen: Screen
) -> Spec:
    """The files; when they cannot be read, what is written down of the deploy that serves.

    A broken file must not stand between a person and the old version. The screen says so.
    """
    try:
        return spec_for(args, places)
    except BadInput as problem:
        known = _last_good(journal, args.env)
        if known is None:
            raise
        screen.line(f"warning: {problem.why.what}")
        screen.line(f"  -> goes on with the configuration that {known.rollout} was begun with")
        return recorded_plan(journal, known).spec


def check_environment(args: argparse.Namespace, places: Places, journal: Journal) -> None:
    """BadInput for a name that neither the journal nor rollout.toml knows."""
    if not journal.known(args.env):
        load_spec(places.root, args.env)


def _last_good(journal: Journal, environment: str) -> Known | None:
    """The newest deploy that was promoted; before there is one, the newest rollout at all."""
    known = journal.known(environment)
    promoted = (k for k in known if (k.kind, k.ended) == (Kind.DEPLOY, Phase.DONE))
    return next(promoted, known[0] if known else None)
