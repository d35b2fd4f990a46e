"""`rollout smoke`: the smoke checks through the proxy, as a user would send them."""

import argparse
from dataclasses import replace

from guarded_rollout.cli.check_files import hand_out, moment
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.check_report import CheckReport, result_line
from guarded_rollout.core.spec import Check, Release, Service, Spec, Tier
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.engine.smoke import Patience, asked_as_user, checks_of
from guarded_rollout.engine.smoke import smoke as run_smoke
from guarded_rollout.ports import Journal, Ports

TIERS = {"critical": Tier.CRITICAL, "standard": Tier.STANDARD, "all": Tier.EXTENDED}


def smoke(args: argparse.Namespace) -> int:
    """Run a tier. 0: all passed, 3: a person is needed."""
    screen, places = args.screen, Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=True)
    ports = open_ports(places, spec, journal)
    tier = TIERS["critical" if args.quick else args.tier]
    checks = checks_of(spec.service, tier, rolled_back=args.post_rollback)
    report = CheckReport(
        title="smoke checks",
        environment=args.env,
        began=moment(ports.clock.now()),
        host=f"{spec.environment.listen_host}:{spec.environment.listen_port}",
        results=(),
        about=tuple(_about(args, tier, checks, spec.service)),
    )
    screen.lines(report.head())
    asked = asked_as_user(spec, *answering(ports, journal, spec))
    patience = Patience(args.timeout, lambda result: screen.line(result_line(result)))
    results = run_smoke(ports, asked, checks, patience)
    return hand_out(args, "postdeploy-smoketests", replace(report, results=results))


def _about(
    args: argparse.Namespace, tier: Tier, checks: tuple[Check, ...], service: Service
) -> list[str]:
    lines = [f"tier {tier} and more urgent: {len(checks)} checks, at most {args.timeout:g} s"]
    if args.post_rollback:
        left_out = [check.name for check in checks_of(service, tier) if check not in checks]
        said = f"left out, they came with the new version: {', '.join(left_out)}"
        lines.append("after a rollback: the old version is asked what applies to it")
        lines.append(said if left_out else "left out: none, every check applies to the old version")
    return lines


def answering(ports: Ports, journal: Journal, spec: Spec) -> tuple[Release, ...]:
    """The releases that users may meet now: two while a canary is going on."""
    routed = ports.traffic.routed() if ports.traffic.running() else None
    if routed is None:
        serving = read_situation(journal, spec.environment.name).serving
        return (serving,) if serving else ()
    names = {arm.release for arm in (routed.to, routed.canary, routed.control) if arm}
    started = ports.target.started(spec.service.name)
    return tuple(release for release in started if release.name in names)
