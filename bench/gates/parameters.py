"""The file that says what is simulated: seeds, families, ranges, and the peers' settings.

seed = 1
rollouts = 40                      # healthy ones of each family, and as many regressed ones

[ranges]                           # what holds for all families: ranges.FIELDS
requests = [20, 150]

[families.error-step]
harm = ["failures"]                # or ["latency"], or both
times = [4, 20]

[peers]                            # settings.PeerRules
[alarms.rate]                      # alarms.KINDS
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ranges import FIELDS, Range

from guarded_rollout.adapters.configuration.located import Value, given
from guarded_rollout.adapters.configuration.toml_file import read_toml

PUBLIC = Path(__file__).with_name("parameters.toml")
HARMS: tuple[str, ...] = ("failures", "latency")
KINDS = ("rate", "quantile", "failures", "margin", "latency", "outcomes", "events", "queue")
"""Of evidence gates, each at the edge of its null. `margin`: of failures, with the grace."""


@dataclass(frozen=True, slots=True)
class Family:
    """Rollouts of one kind. `healthy` and `regressed`: how many of each."""

    name: str
    healthy: int
    regressed: int
    harms: tuple[str, ...]
    ranges: Mapping[str, Range]


@dataclass(frozen=True, slots=True)
class PeerRules:
    """How the peers are set. Seconds; checks; nominal error of one look.

    Fields:
        argo_failures: more failed measurements than this roll back; `argo_errors`: so many
            in a row without a value do, too.
        flagger_checks: so many failed checks roll back.
        kayenta_every: the interval of its judgements, `kayenta_step` of its values.
        error: of one judgement by Kayenta's test or the z-test, one-sided.
    """

    argo_interval: float = 60.0
    argo_failures: float = 3.0
    argo_errors: float = 4.0
    flagger_interval: float = 60.0
    flagger_checks: float = 5.0
    kayenta_every: float = 300.0
    kayenta_step: float = 30.0
    error: float = 0.01


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that a corpus depends on, besides the code."""

    seed: str
    families: tuple[Family, ...]
    peers: PeerRules
    alarms: Mapping[str, Mapping[str, Range]]


def read(path: Path) -> Parameters:
    """BadInput names file, line and key of whatever is wrong, missing or not known."""
    top = read_toml(path, path.name).table(
        required=("seed", "families"), optional=("rollouts", "ranges", "peers", "alarms")
    )
    rollouts = given(top.get("rollouts"), _count, 40)
    usual = {name: field.usual for name, field in FIELDS.items()}
    if "ranges" in top:
        usual |= _ranges(top["ranges"].table(optional=FIELDS))
    families = top["families"].any_table()
    if not families:
        raise top["families"].problem("has no family", "add one: [families.NAME]")
    return Parameters(
        str(top["seed"].whole(0, 2**53, "as a seed")),
        tuple(_family(name, value, usual, rollouts) for name, value in families.items()),
        given(top.get("peers"), _peers, PeerRules()),
        given(top.get("alarms"), lambda at: _alarms(at, usual), dict.fromkeys(KINDS, usual)),
    )


def _family(name: str, value: Value, usual: Mapping[str, Range], rollouts: int) -> Family:
    said = value.table(optional=("harm", "healthy", "regressed", *FIELDS))
    harms = given(said.get("harm"), _harms, HARMS)
    healthy = given(said.get("healthy"), _count, rollouts)
    regressed = given(said.get("regressed"), _count, rollouts)
    return Family(name, healthy, regressed, harms, _fitting(value, {**usual, **_ranges(said)}))


def _fitting(value: Value, ranges: Mapping[str, Range]) -> Mapping[str, Range]:
    """A label is true only if the harm begins inside the watch, and somebody looks."""
    for short, whole in (("onset", "window"), ("scrape", "window"), ("aa_scrape", "aa")):
        if ranges[short].high >= ranges[whole].low:
            raise value.problem(
                f"{short} may be {ranges[short].high:g} s, {whole} only {ranges[whole].low:g} s",
                f"make {whole} longer or {short} shorter",
            )
    return ranges


def _harms(value: Value) -> tuple[str, ...]:
    chosen = tuple(member.choice(HARMS) for member in value.members())
    if not chosen:
        raise value.problem("names no harm", 'write ["failures"], ["latency"] or both')
    return chosen


def _alarms(value: Value, usual: Mapping[str, Range]) -> Mapping[str, Mapping[str, Range]]:
    said = value.table(optional=KINDS)
    return {
        kind: {**usual, **_ranges(given(said.get(kind), lambda at: at.table(optional=FIELDS), {}))}
        for kind in KINDS
    }


def _ranges(said: Mapping[str, Value]) -> dict[str, Range]:
    return {name: _range(name, value) for name, value in said.items() if name in FIELDS}


def _range(name: str, value: Value) -> Range:
    field = FIELDS[name]
    if not isinstance(value.raw, tuple):
        number = value.number(field.least, field.most, field.unit)
        return Range(number, number)
    ends = [member.number(field.least, field.most, field.unit) for member in value.raw]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise value.problem("is no range", f"write [low, high], {field.unit}")
    return Range(ends[0], ends[1])


def _count(value: Value) -> int:
    return value.whole(0, 1_000_000, "rollouts")


def _peers(value: Value) -> PeerRules:
    said = value.table(optional=[field.name for field in fields(PeerRules)])
    return PeerRules(
        **{
            name: at.number(0.0001, 0.5, "of the judgements")
            if name == "error"
            else at.number(1, 86400, "seconds or checks")
            for name, at in said.items()
        }
    )
