"""How failures and durations are judged: `judge` and `evidence` of the gates file."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from guarded_rollout.adapters.configuration.located import Value, given
from guarded_rollout.adapters.configuration.spelling import camel
from guarded_rollout.core.evidence_process import ROBUST, Rules
from guarded_rollout.core.gates import Gates
from guarded_rollout.core.schedule import Schedule

_KEYS = (
    "alpha",
    "beta",
    "margin",
    "tolerated",
    "grace",
    "bake",
    "dispersion",
    "calibrate",
    "restartsPerHour",
    "early",
)


class Judge(StrEnum):
    """Who decides about failures and durations."""

    EVIDENCE = "evidence"
    THRESHOLDS = "thresholds"


def judged(
    gates: Gates, fields: Mapping[str, Value], limits: Mapping[str, Value], schedule: Schedule
) -> Gates:
    """The gates with their rules. `limits`: where each gate was written, for errors."""
    usual = Judge.THRESHOLDS if gates.evidence is None else Judge.EVIDENCE
    judge = given(fields.get("judge"), lambda at: Judge(at.choice(Judge)), usual)
    if judge is Judge.THRESHOLDS:
        if "evidence" in fields:
            raise fields["evidence"].problem(
                "says how evidence is weighed, and thresholds judge here",
                'leave it out, or write "judge": "evidence"',
            )
        return replace(gates, evidence=None)
    rate = limits.get("extractionFailureRate")
    if rate is not None and not 0.0 < gates.failure_rate.threshold < 100.0:
        raise rate.problem(
            f"{gates.failure_rate.threshold:g} % leaves nothing to weigh",
            'choose a limit between 0 and 100 %, or write "judge": "thresholds"',
        )
    said = fields["evidence"].table(optional=_KEYS, spelling=camel) if "evidence" in fields else {}
    return replace(
        gates,
        evidence=_rules(said, scaled(gates.evidence or ROBUST, schedule)),
        restarts=given(
            said.get("restartsPerHour"),
            lambda at: at.number(0.01, 1000, "restarts per replica and hour"),
            gates.restarts,
        ),
        dispersion=given(
            said.get("dispersion"), lambda at: at.number(1, 1000, "times"), gates.dispersion
        ),
        early=given(said.get("early"), Value.flag, gates.early),
    )


def scaled(rules: Rules, schedule: Schedule) -> Rules:
    """What takes time takes less of it where the watch is short."""
    window = schedule.duration
    return replace(
        rules,
        calibrate=min(rules.calibrate, window / 30),
        grace=min(rules.grace, window / 20),
        bake=min(rules.bake, window / 6),
    )


def _rules(said: Mapping[str, Value], base: Rules) -> Rules:

    def share(key: str, default: float) -> float:
        return given(said.get(key), lambda at: at.number(1e-9, 0.5, "of all rollouts"), default)

    def odds(key: str, default: float) -> float:
        return given(said.get(key), lambda at: at.number(1, 100, "times the odds"), default)

    rules = replace(
        base,
        alpha=share("alpha", base.alpha),
        beta=share("beta", base.beta),
        margin=odds("margin", base.margin),
        tolerated=odds("tolerated", base.tolerated),
        calibrate=given(
            said.get("calibrate"), lambda at: at.seconds(bare=1.0, zero=True), base.calibrate
        ),
        grace=given(said.get("grace"), lambda at: at.seconds(bare=1.0, zero=True), base.grace),
        bake=given(said.get("bake"), lambda at: at.seconds(bare=60.0, zero=True), base.bake),
    )
    if rules.tolerated <= rules.margin:
        where = said["tolerated"] if "tolerated" in said else said["margin"]
        raise where.problem(
            f"tolerated ({rules.tolerated:g}) is not above the margin ({rules.margin:g})",
            "what is not tolerated must be worse than what counts as harmless",
        )
    return rules
