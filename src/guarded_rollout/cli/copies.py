"""`rollout backup copies | fetch`: what lies in other places, and the way back from there."""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.copies import CheckedCopies
from guarded_rollout.cli.screen import OnScreen, Screen
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.fact_text import size_text
from guarded_rollout.core.problems import BadInput, NotPossible, Problem
from guarded_rollout.core.spec import CopyPlace, Spec
from guarded_rollout.ports import Copy, Place


def show(args: argparse.Namespace) -> int:
    """The environment's copies per place. Exit code 3 when a place or a copy is not sound."""
    screen = args.screen
    spec, copies = _opened(args)
    found: list[dict[str, object]] = []
    bad = 0
    for to in spec.environment.copies:
        try:
            place = copies.at(to)
            held = [copy for copy in place.holds() if copy.environment == args.env]
        except Problem as problem:
            bad += 1
            screen.line(f"{to.name}: {problem}")
            found.append({"place": to.name, "problem": problem.why.what})
            continue
        screen.line(f"{to.name}: {len(held)} copies")
        for copy in held:
            said = "not read back (--verify does)"
            if args.verify:
                said, sound = _verified(place, copy.file, screen)
                bad += not sound
            made = datetime.fromtimestamp(copy.created, UTC)
            screen.line(
                f"  {copy.file}  {made:%Y-%m-%d %H:%M:%S} UTC  {size_text(copy.size)}  {said}"
            )
            found.append({"place": to.name, **asdict(copy), "said": said})
    screen.document(found)
    return 3 if bad else 0


def fetch(args: argparse.Namespace) -> int:
    """Bring a copy back into backups/, verified; then it is a backup like any other."""
    screen = args.screen
    spec, copies = _opened(args)
    name = Path(args.file).name
    to = Path(args.root) / "backups" / name
    to.parent.mkdir(mode=0o700, exist_ok=True)
    if to.exists():
        raise BadInput(f"backups/{name} exists already", "a file that is there is never replaced")
    tried: list[str] = []
    for place in _asked_for(args, spec):
        try:
            copy = copies.at(place).fetch(name, to, OnScreen(screen))
        except Problem as problem:
            tried.append(f"{place.name}: {problem.why.what}")
            continue
        screen.line(f"backups/{name} came from {place.name}: {size_text(copy.size)}, verified")
        screen.line(f"  prove it: rollout backup verify --env {args.env} backups/{name}")
        screen.document({"place": place.name, "file": f"backups/{name}", "sha256": copy.sha256})
        return 0
    raise NotPossible(
        f"no place gave a sound copy of {name}:\n  " + "\n  ".join(tried),
        f"see what is there: rollout backup copies --env {args.env} --verify",
    )


def _opened(args: argparse.Namespace) -> tuple[Spec, CheckedCopies]:
    spec = spec_for(args, Places(args.root))
    if not spec.environment.copies:
        raise NotPossible(
            f"{args.env} has no places for copies",
            f"add [[environments.{args.env}.copies]] to rollout.toml; "
            "docs/reference/configuration.md says how",
        )
    return spec, CheckedCopies(args.root, spec.service.name, SystemClock())


def _asked_for(args: argparse.Namespace, spec: Spec) -> tuple[CopyPlace, ...]:
    places = spec.environment.copies
    if args.place is None:
        return places
    wanted = tuple(place for place in places if args.place in {place.to, place.name})
    if not wanted:
        raise BadInput(
            f"{args.env} has no place {args.place!r}",
            "it has " + ", ".join(place.name for place in places),
        )
    return wanted


def _verified(place: Place, name: str, screen: Screen) -> tuple[str, bool]:
    try:
        copy: Copy = place.verify(name, OnScreen(screen))
    except Problem as problem:
        return f"NOT SOUND: {problem.why.what}", False
    return f"read back, SHA-256 {copy.sha256[:12]}...", True
