"""`rollout down`: nothing serves any more, until somebody brings it back."""

import argparse

from guarded_rollout.cli.asking import confirm, schema_if_it_says
from guarded_rollout.cli.rollouts import begin_and_follow, plan_document, refuse_if_active
from guarded_rollout.cli.spec import check_environment, spec_or_frozen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.plan import Kind, make_plan
from guarded_rollout.core.report import plan_lines
from guarded_rollout.core.spec import no_release
from guarded_rollout.engine.situation import read_situation


def down(args: argparse.Namespace) -> int:
    """`rollout down`."""
    screen, places = args.screen, Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    refuse_if_active(args, places, journal)
    spec = spec_or_frozen(args, places, journal, screen)
    ports = open_ports(places, spec, journal)
    situation = read_situation(journal, args.env, schema_if_it_says(args, ports))
    serving = situation.serving or no_release(spec.service.name)
    plan = make_plan(Kind.DOWN, spec, serving, situation)
    screen.lines(plan_lines(plan))
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, **plan_document(plan)})
        return 0
    confirm(args, f"stop {serving.name}, so that nothing serves {args.env}")
    return begin_and_follow(args, places, open_journal(places), plan)
