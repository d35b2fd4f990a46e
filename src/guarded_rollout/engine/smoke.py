"""Smoke checks: does a release answer as it should? Asked before users, after them, and back."""

import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.core.check_report import Result
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.redact import redact
from guarded_rollout.core.spec import Check, Release, Service, Spec, Tier
from guarded_rollout.ports import Address, Answered, Ports, Web

_TIERS = {tier: number for number, tier in enumerate(Tier)}
_SHOWN = 200
PLACEHOLDERS = ("{version}", "{release}", "{environment}")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked. `releases`: those that may answer; two while a canary is going on."""

    address: Address
    environment: str
    releases: tuple[Release, ...]


def body_of(root: Path, check: Check) -> bytes | None:
    """What a check sends. BadInput when its file is not there."""
    if check.body is not None:
        return check.body.encode()
    if check.body_size:
        return bytes(check.body_size)
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


def run_check(web: Web, asked: Asked, check: Check, body: bytes | None) -> Result:
    """Send one check, as often as it says, and compare every answer."""
    if check.repeat == 1:
        answers = [web.check(asked.address, check, body)]
    else:
        with ThreadPoolExecutor(check.concurrency) as threads:
            begun = [
                threads.submit(web.check, asked.address, check, body) for _ in range(check.repeat)
            ]
            answers = [one.result() for one in begun]
    problems = [found for answer in answers if (found := _problem(asked, check, answer))]
    times = sorted(answer.ms for answer in answers)
    result = Result(check.name, times[-1], None, check.area, check.tier, _note(check, times))
    if problems:
        many = f"{len(problems)} of {check.repeat} answers: " if check.repeat > 1 else ""
        return replace(result, problem=many + problems[0])
    quantile = _quantile(times, check.percentile)
    if check.budget_ms is not None and quantile > check.budget_ms:
        late = f"p{check.percentile:g} is {quantile:.0f} ms, the budget is {check.budget_ms:g} ms"
        return replace(result, problem=late)
    return result


def _note(check: Check, times: list[float]) -> str:
    if check.repeat == 1:
        return ""
    return (
        f"{check.repeat} requests, {check.concurrency} at a time, "
        f"p{check.percentile:g} {_quantile(times, check.percentile):.1f} ms"
    )


def _quantile(times: list[float], percentile: float) -> float:
    """The nearest rank of sorted times."""
    return times[math.ceil(percentile / 100 * len(times)) - 1]


def _problem(asked: Asked, check: Check, answered: Answered) -> str | None:
    """What is wrong with one answer."""
    if answered.status is None:
        return answered.problem
    text = answered.body.decode(errors="replace")
    if answered.status != check.status:
        return f"status {answered.status} instead of {check.status}: {_shown(text)}"
    if check.contains is not None and check.contains not in text:
        return f"the answer does not contain {check.contains!r}: {_shown(text)}"
    for word in check.lacks:
        if word in text:
            return f"the answer contains {word!r}: {_shown(text)}"
    problem = _header_problem(check, answered) or _json_problem(asked, check, text)
    if problem is None and answered.ms > check.within_ms:
        problem = f"took {answered.ms:.0f} ms, the limit is {check.within_ms:g} ms"
    return problem


def _header_problem(check: Check, answered: Answered) -> str | None:
    for name, wanted in check.headers:
        found = [value for key, value in answered.headers if key == name.lower()]
        if not found:
            return f"the header {name} is missing"
        if not any(wanted.lower() in value.lower() for value in found):
            return f"the header {name} is {_shown(found[0])!r}, not {wanted!r}"
    for name in check.no_headers:
        found = [value for key, value in answered.headers if key == name.lower()]
        if found:
            return f"the header {name} should not be there, it is {_shown(found[0])!r}"
    return None


def _json_problem(asked: Asked, check: Check, text: str) -> str | None:
    if not check.json:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return f"the answer is no JSON: {_shown(text)}"
    for path, wanted in check.json:
        try:
            found = _at(document, path)
        except LookupError:
            return f"the answer has no {path}: {_shown(text)}"
        options = [json.loads(wanted)]
        if any(word in wanted for word in PLACEHOLDERS):
            options = [_filled(options[0], asked, release) for release in asked.releases]
        # 1 and true are equal in Python, and not in JSON.
        if not any(type(found) is type(option) and found == option for option in options):
            said = " or ".join(json.dumps(option) for option in options) or "a deployed release's"
            return f"{path} is {_shown(json.dumps(found))}, not {said}"
    return None


def _at(document: object, path: str) -> object:
    """Raises LookupError where there is no such member."""
    for part in path.split("."):
        if isinstance(document, list) and part.isdecimal():
            document = document[int(part)]
        elif isinstance(document, dict):
            document = document[part]
        else:
            raise LookupError(part)
    return document


def _filled(wanted: object, asked: Asked, release: Release) -> object:
    if not isinstance(wanted, str):
        return wanted
    for word, value in zip(
        PLACEHOLDERS, (release.version, release.name, asked.environment), strict=True
    ):
        wanted = wanted.replace(word, value)
    return wanted


def _shown(text: str) -> str:
    return redact(text)[:_SHOWN]


def checks_of(service: Service, tier: Tier, *, rolled_back: bool = False) -> tuple[Check, ...]:
    """The checks of this tier and of the more urgent ones; those for an old version only."""
    return tuple(
        check
        for check in service.checks
        if _TIERS[check.tier] <= _TIERS[tier] and (check.after_rollback or not rolled_back)
    )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long all checks together may take, in seconds, and who hears of each result."""

    seconds: float
    heard: Callable[[Result], None]


def smoke(
    ports: Ports, asked: Asked, checks: Iterable[Check], patience: Patience | None = None
) -> tuple[Result, ...]:
    """Run the checks, in their order. One for which no time is left has failed."""
    clock = ports.clock
    until = clock.monotonic() + patience.seconds if patience else math.inf
    results = []
    for check in checks:
        left = until - clock.monotonic()
        if left > 0:
            hurried = replace(check, within_ms=min(check.within_ms, left * 1000))
            result = run_check(ports.web, asked, hurried, body_of(ports.root, check))
        else:
            limit = f"{patience.seconds:g} s" if patience else ""
            result = Result(check.name, 0.0, f"not run: {limit} are over", check.area, check.tier)
        results.append(result)
        if patience:
            patience.heard(result)
    return tuple(results)


def must_pass(
    ports: Ports,
    asked: Asked,
    whom: str,
    checks: tuple[Check, ...],
    log: Path | None = None,
) -> None:
    """Broken names the checks that fail, and where to read on."""
    results = smoke(ports, asked, checks)
    failed = [result for result in results if result.problem is not None]
    if failed:
        told = "; ".join(f"{result.check}: {result.problem}" for result in failed)
        raise Broken(
            f"{len(failed)} of {len(results)} smoke checks failed on {whom}: {told}",
            f"read {log}" if log else f"rollout status --env {asked.environment} names its logs",
        )


def asked_at(spec: Spec, socket: Path, release: Release) -> Asked:
    """One replica."""
    return Asked(Address(socket=socket), spec.environment.name, (release,))


def asked_as_user(spec: Spec, *releases: Release) -> Asked:
    """Through the proxy, as a user is answered."""
    environment = spec.environment
    address = Address(host=environment.listen_host, port=environment.listen_port)
    return Asked(address, environment.name, releases)
