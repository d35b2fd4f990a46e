"""Smoke checks: real requests, compared with what a healthy service answers."""

from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.redact import redact
from guarded_rollout.core.spec import Check, Service, Spec, Tier
from guarded_rollout.ports import Address, Ports, Web

_TIERS = {Tier.CRITICAL: 0, Tier.STANDARD: 1}


@dataclass(frozen=True, slots=True)
class Result:
    """One check's result; `problem` None: as expected. `ms` is how long the answer took."""

    check: str
    ms: float
    problem: str | None


def body_of(root: Path, check: Check) -> bytes | None:
    """The file a check sends. BadInput when it is not there."""
    if check.body_file is None:
        return None
    file = root / check.body_file
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(
            f"check {check.name!r} sends {check.body_file}, which cannot be read: {error.strerror}",
            "correct body_file in rollout.toml",
        ) from error


def run_check(web: Web, address: Address, check: Check, body: bytes | None) -> Result:
    """Send one check and compare."""
    answered = web.check(address, check, body)
    problem = answered.problem
    if answered.status is not None:
        shown = redact(answered.body[:200].decode(errors="replace"))
        if answered.status != check.status:
            problem = f"status {answered.status} instead of {check.status}: {shown}"
        elif check.contains is not None and check.contains.encode() not in answered.body:
            problem = f"the answer does not contain {check.contains!r}: {shown}"
        elif answered.ms > check.within_ms:
            problem = f"took {answered.ms:.0f} ms, the limit is {check.within_ms:g} ms"
    return Result(check.name, answered.ms, problem)


def checks_of(service: Service, tier: Tier) -> tuple[Check, ...]:
    """The checks of this tier and of the more urgent ones."""
    return tuple(c for c in service.checks if _TIERS[c.tier] <= _TIERS[tier])


def smoke(
    web: Web, root: Path, service: Service, address: Address, tier: Tier = Tier.CRITICAL
) -> tuple[Result, ...]:
    """Run all checks of a tier against one address."""
    return tuple(
        run_check(web, address, check, body_of(root, check)) for check in checks_of(service, tier)
    )


def must_pass(
    ports: Ports, spec: Spec, address: Address, whom: str, log: Path | None = None
) -> None:
    """The critical checks. Broken names those that fail, and where to read on."""
    results = smoke(ports.web, ports.root, spec.service, address)
    failed = [result for result in results if result.problem is not None]
    if failed:
        told = "; ".join(f"{result.check}: {result.problem}" for result in failed)
        raise Broken(
            f"{len(failed)} of {len(results)} smoke checks failed on {whom}: {told}",
            f"read {log}"
            if log
            else f"rollout status --env {spec.environment.name} names its logs",
        )
