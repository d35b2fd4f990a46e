"""Who rolled back what, and when: a row for each rollout and judge, added up by family."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import bounds
import intervals
import peers
import product
from counts import Measured, measured
from delays import SOON
from parameters import PeerRules
from product import Said
from scenes import Scene
from streams import Rollout, recorded

from guarded_rollout.core.evidence_process import ROBUST

Judge = Callable[[Rollout, Measured, PeerRules], Said]
JUDGES: Mapping[str, Judge] = {
    "ours": lambda rollout, known, _: product.ours(rollout, known.noise),
    "documents": lambda rollout, _, __: product.documents(rollout),
    "documents, suggested limits": lambda rollout, _, __: product.suggested(rollout),
    "Argo": lambda _, known, rules: peers.argo(known, rules),
    "Flagger": lambda _, known, rules: peers.flagger(known, rules),
    "Kayenta": lambda _, known, rules: peers.kayenta(known, rules),
    "repeated z": lambda _, known, rules: peers.repeated_z(known, rules),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout under one judge. `bound`: seconds after the onset, infinite if there is none.

    `harmed`: candidate requests hurt by the harm until the rollback, or until the end.
    """

    family: str
    number: int
    harm: str
    judge: str
    left: float
    bound: float
    onset: float
    back: float | None
    held: float | None
    harmed: float

    @property
    def label(self) -> str:
        """As its scene's."""
        return "regressed" if self.harm else "healthy"

    @property
    def false(self) -> bool:
        """Rolled back although nothing was wrong, or nothing was wrong yet."""
        return self.back is not None and (not self.harm or self.back <= self.onset)

    @property
    def found(self) -> bool:
        """Rolled back after the onset."""
        return bool(self.harm) and self.back is not None and self.back > self.onset

    @property
    def missed(self) -> bool:
        """Never rolled back."""
        return bool(self.harm) and self.back is None

    @property
    def ample(self) -> bool:
        """Whether three times the bound was left."""
        return bool(self.harm) and 3.0 * self.bound < self.left

    @property
    def ratio(self) -> float | None:
        """The delay in bounds, of those found where the bound is no matter of one scrape."""
        if not self.found or self.back is None or not SOON <= self.bound < math.inf:
            return None
        return (self.back - self.onset) / self.bound


def rows(scene: Scene, seed: str, rules: PeerRules) -> list[Row]:
    """One rollout under every judge."""
    rollout = recorded(scene, seed)
    known = measured(rollout)
    bound = bounds.seconds(scene, ROBUST.margin, product.phi(known.noise, scene.harm))
    onset = scene.onset if scene.harm else 0.0
    found = []
    for name, judge in JUDGES.items():
        said = judge(rollout, known, rules)
        end = said.back if said.back is not None else math.inf
        harmed = max((one.harmed for one in rollout.truth if one.elapsed <= end), default=0.0)
        found.append(
            Row(
                scene.family,
                scene.number,
                scene.harm,
                name,
                scene.window - onset,
                bound,
                onset,
                said.back,
                said.held,
                harmed,
            )
        )
    return found


def keep(file: Path, more: Sequence[Row]) -> None:
    """Rows as JSON lines, at the end of the file."""
    with file.open("a") as out:
        out.writelines(json.dumps(asdict(row)) + "\n" for row in more)


def kept(file: Path) -> list[Row]:
    """The rows of an earlier run with the same parameters; a rollout is judged by all or none."""
    if not file.exists():
        return []
    found = [Row(**json.loads(line)) for line in file.read_text().splitlines()]
    return found[: len(found) - len(found) % len(JUDGES)]


def added(found: Sequence[Row]) -> dict[str, Any]:
    """One judge's figures over some rollouts."""
    healthy = [row for row in found if not row.harm]
    regressed = [row for row in found if row.harm]
    false = sum(row.false for row in healthy)
    ample = [row for row in regressed if row.ample and not row.false]
    ratios = sorted(ratio for row in regressed if (ratio := row.ratio) is not None)
    after = [row for row in regressed if not row.false]
    return {
        "healthy": len(healthy),
        "false": false,
        "false_low": intervals.at_least(false, len(healthy)),
        "false_high": intervals.at_most(false, len(healthy)) if healthy else 1.0,
        "held": sum(row.held is not None and row.back is None for row in healthy),
        "regressed": len(regressed),
        "too_early": sum(row.false for row in regressed),
        "missed": sum(row.missed for row in regressed),
        "ample": len(ample),
        "missed_ample": sum(row.missed for row in ample),
        "ratios": len(ratios),
        "ratio_mean": fmean(ratios) if ratios else None,
        "ratio_median": median(ratios) if ratios else None,
        "ratio_p90": ratios[int(0.9 * len(ratios))] if ratios else None,
        "ratio_worst": ratios[-1] if ratios else None,
        "excess_failed": _mean(row.harmed for row in after if row.harm == "failures"),
        "excess_slow": _mean(row.harmed for row in after if row.harm == "latency"),
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def board(found: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """By family (`all` first), then by judge."""
    families = ["all", *dict.fromkeys(row.family for row in found)]
    return {
        family: {
            judge: added(
                [row for row in found if row.judge == judge and family in {"all", row.family}]
            )
            for judge in JUDGES
        }
        for family in families
    }
