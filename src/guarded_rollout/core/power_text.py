"""The power of the gates, told to people: a table, a plot, and stages to paste."""

import math
from collections.abc import Sequence
from typing import Any

from guarded_rollout.core.power import Found
from guarded_rollout.core.regressions import Traffic
from guarded_rollout.core.spec import Stage

_WIDTH = 48
_MARKS = ((0.9, "#"), (0.5, "="), (0.1, "-"))


def table_lines(found: Sequence[Found]) -> list[str]:
    """One line per regression."""
    wide = _width(found)
    head = f"  {'regression':<{wide}}{'rate':>9}{'found':>8}{'median':>10}{'bound':>10}"
    lines = [f"{head}{'failed':>9}{'requests':>10}"]
    for one in found:
        rate = f"{100 * one.rate:.3g} %" if one.rate is not None else "-"
        rate = f"{one.hourly:.3g}/h" if one.hourly is not None else rate
        failed = f"{one.failed:g}" if rate != "-" else "-"
        lines.append(
            f"  {one.what:<{wide}}{rate:>9}{100 * one.share:>6.0f} %{_time(one.within(0.5)):>10}"
            f"{_time(one.bound):>10}{failed:>9}{one.asked:>10.0f}"
        )
    return lines


def plot_lines(found: Sequence[Found], seconds: float) -> list[str]:
    """When it is found, on a scale of logarithms from 5 s to the end of the watch."""
    wide = _width(found)
    lines = [f"  {'found in':<{wide}}|{_axis(seconds)}|"]
    for one in found:
        row = "".join(_mark(one, _at(column, seconds)) for column in range(_WIDTH))
        lines.append(f"  {one.what:<{wide}}|{row}|")
    lines.append("  . fewer than 1 of 10 runs   - 1 of 10   = half   # 9 of 10")
    return lines


def stage_lines(environment: str, stages: Sequence[Stage]) -> list[str]:
    """What to paste into rollout.toml."""
    lines = []
    for stage in stages:
        minutes = f"{stage.bake_seconds / 60:g}m"
        lines += [
            f"[[environments.{environment}.stages]]",
            f"percent = {stage.percent:g}",
            f'bake = "{minutes}"',
        ]
    return lines


def regression(one: Found) -> dict[str, Any]:
    """The same line for machines; None is never, or no rate."""
    return {
        "what": one.what,
        "rate": one.rate,
        "hourly": one.hourly,
        "share": one.share,
        "median_seconds": _finite(one.within(0.5)),
        "bound_seconds": _finite(one.bound),
        "failed": one.failed,
        "requests": one.asked,
    }


def traffic_line(traffic: Traffic, source: str) -> str:
    """What was assumed."""
    share = "all of it" if traffic.share >= 1.0 else f"{100 * traffic.share:g} % of it"
    return (
        f"{traffic.per_second:.4g} requests/s, the candidate has {share}, "
        f"{100 * traffic.failures:.3g} % fail usually ({source})"
    )


def _width(found: Sequence[Found]) -> int:
    return max([24, *(len(one.what) + 1 for one in found)])


def _mark(one: Found, at: float) -> str:
    return next((mark for part, mark in _MARKS if one.within(part) <= at), ".")


def _at(column: int, seconds: float) -> float:
    first = min(5.0, seconds / 10.0)
    return first * math.pow(seconds / first, column / (_WIDTH - 1.0)) * (1.0 + 1e-9)


def _axis(seconds: float) -> str:
    left = _time(_at(0, seconds))
    middle, right = _time(_at(_WIDTH // 2, seconds)), _time(seconds)
    half = _WIDTH // 2
    return f"{left:<{half}}{middle:<{_WIDTH - half - len(right)}}{right}"


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "never"
    if seconds < 1.0:
        return "< 1 s"
    return f"{seconds:.0f} s" if seconds < 600.0 else f"{seconds / 60:.0f} min"
