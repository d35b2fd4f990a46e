"""What the journal remembers of watches: observations, traffic, buckets, and what ended well."""

from collections.abc import Iterator, Sequence

from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.facts import Fact
from guarded_rollout.core.gate_history import watched
from guarded_rollout.core.gate_lint import Metric, Recorded
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.recorded_traffic import Counted, counted, newest_bounds, per_second
from guarded_rollout.core.regressions import Traffic
from guarded_rollout.core.series import Observation, focused
from guarded_rollout.core.state import Phase
from guarded_rollout.core.suggestion import FEWEST_REQUESTS, History, dispersion
from guarded_rollout.ports import Journal, Known

NEWEST = 20
"""So many rollouts are read; older ones are about another service by now."""


def facts_of(journal: Journal, known: Known) -> tuple[Fact, ...]:
    """A rollout's facts, in order."""
    return tuple(entry.fact for entry in journal.entries(known.rollout))


def newest_watched(
    journal: Journal, environment: str, rollout: str | None = None
) -> tuple[Known, tuple[Fact, ...]] | None:
    """The newest rollout with observations, or the one that is named, watched or not."""
    for known in journal.known(environment):
        if rollout is not None and known.rollout != rollout:
            continue
        facts = facts_of(journal, known)
        if rollout is not None or watched(facts):
            return known, facts
    return None


def newest_observations(journal: Journal, environment: str) -> tuple[Observation, ...]:
    """Of the newest watched rollout; none when none was watched."""
    newest = newest_watched(journal, environment)
    return watched(newest[1]) if newest is not None else ()


def healthy(journal: Journal, environment: str) -> tuple[History, ...]:
    """The watched rollouts that ended done, newest first, at most NEWEST."""
    found: list[History] = []
    for known in journal.known(environment):
        if known.ended == Phase.DONE and len(found) < NEWEST:
            observations = watched(facts_of(journal, known))
            if observations:
                found.append((known.rollout, observations))
    return tuple(found)


def recorded(journal: Journal, environment: str, custom: Sequence[CustomGate] = ()) -> Recorded:
    """What the lint can know of an environment. Buckets are the service's: any environment's."""
    seen = newest_observations(journal, environment)
    rates = {signal: per_second(seen, signal) for signal in _COUNTED}
    histories = healthy(journal, environment)
    return Recorded(
        bounds=next(_bounds(journal, environment), None),
        per_second={signal: rate for signal, rate in rates.items() if rate is not None},
        dispersion=dispersion([own for _, own in histories]) if histories else None,
        custom={gate.name: metric for gate in custom if (metric := _metric(seen, gate.name))},
    )


def _metric(seen: Sequence[Observation], name: str) -> Metric | None:
    """A metric of the service's own; None: nobody ever read it."""
    own = [focused(one, name) for one in seen]
    if not any(one.candidate.readings for one in own):
        return None
    bounds = newest_bounds(own)
    signal = Signal.REQUESTS if bounds is None else Signal.DURATIONS
    return Metric(bounds, per_second(own, signal))


def usual(
    journal: Journal, environment: str, seen: Sequence[Observation]
) -> tuple[str, float | None, Counted]:
    """Whose failures and durations are usual: the baseline's, or those of what ended done.

    Where none of n requests failed, at most 3/n do (95 % sure).
    """
    arms = [("of its baseline", seen, True)]
    arms += [(f"of {name}", own, False) for name, own in healthy(journal, environment)]
    for name, own, baseline in arms:
        bad, every = counted(own, Signal.REQUESTS, baseline=baseline).trials
        if every >= FEWEST_REQUESTS:
            return name, max(bad, 3) / every, counted(own, Signal.DURATIONS, baseline=baseline)
    return "", None, Counted()


def traffic(journal: Journal, environment: str) -> Traffic | None:
    """The newest watched rollout's requests, and how many fail usually. None: nothing tells."""
    seen = newest_observations(journal, environment)
    rate = per_second(seen, Signal.REQUESTS)
    _, failed, _ = usual(journal, environment, seen)
    return Traffic(rate, 1.0, failed) if rate and failed else None


def own_traffic(
    journal: Journal, environment: str, custom: Sequence[CustomGate], share: float
) -> dict[str, Traffic]:
    """Of the service's own metrics, by the gate's name; without those that nothing tells about."""
    noisy = [gate for gate in custom if gate.kind is not CustomKind.LEVEL]
    if not noisy:
        return {}
    seen = newest_observations(journal, environment)
    arms = [(seen, True), *((own, False) for _, own in healthy(journal, environment))]
    found: dict[str, Traffic] = {}
    for gate in noisy:
        now = [focused(one, gate.name) for one in seen]
        before = [([focused(one, gate.name) for one in own], baseline) for own, baseline in arms]
        usually = (_usually(gate, now, own, share, baseline=it) for own, it in before)
        traffic = next((one for one in usually if one is not None), None)
        if traffic is not None:
            found[gate.name] = traffic
    return found


def _usually(
    gate: CustomGate,
    now: Sequence[Observation],
    own: Sequence[Observation],
    share: float,
    *,
    baseline: bool,
) -> Traffic | None:
    """`now`: whose traffic counts; `own`: whose failures, durations or events are usual."""
    if gate.kind is CustomKind.EVENT:
        events = counted(own, Signal.EVENTS, baseline=baseline)
        replicas = sum(alive for _, alive in events.polls) / max(1, len(events.polls))
        spent = replicas * events.seconds
        return Traffic(events.sums[0] / spent, share, 0.0) if spent else None
    if gate.kind is CustomKind.QUANTILE:
        durations = counted(own, Signal.DURATIONS, baseline=baseline)
        rate, every = per_second(now, Signal.DURATIONS), sum(durations.sums)
        if not rate or every < FEWEST_REQUESTS:
            return None
        shares = tuple(count / every for count in durations.sums)
        return Traffic(rate, share, 0.0, shares, durations.bounds)
    bad, asked = counted(own, Signal.REQUESTS, baseline=baseline).trials
    rate = per_second(now, Signal.REQUESTS)
    return Traffic(rate, share, max(bad, 3) / asked) if rate and asked >= FEWEST_REQUESTS else None


_COUNTED = (Signal.REQUESTS, Signal.DURATIONS, Signal.PROXY_REQUESTS)


def _bounds(journal: Journal, environment: str) -> Iterator[tuple[float, ...]]:
    everything = journal.known()
    own = [known for known in everything if known.environment == environment]
    others = [known for known in everything if known.environment != environment]
    for known in (*own, *others):
        found = newest_bounds(watched(facts_of(journal, known)))
        if found is not None:
            yield found
