"""Figures for people: plain text for each part, Markdown for docs/benchmarks.md."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from delays import SOON

Figures = Mapping[str, Any]
_HEADS = (
    "judge",
    "false",
    "95 % interval",
    "held",
    "too early",
    "missed",
    "missed, 3 bounds left",
    "delay/bound mean",
    "median",
    "p90",
    "worst",
    "excess failed",
    "excess slow",
)


def _corpus(found: Sequence[Figures]) -> str:
    return "\n".join(
        f"{one['family']} {one['label']} {one['number']}"
        + (f", {one['harm']} from {one['onset']:.0f} s" if one["harm"] else "")
        + f"  {one['sha256'][:16]}"
        for one in found
    )


def _score(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """All families together in full, then each family on its own."""
    return "\n\n".join(
        f"{family}\n" + _aligned([_HEADS, *(_line(name, one) for name, one in judges.items())])
        for family, judges in found.items()
    )


def _line(name: str, one: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{one['false']} of {one['healthy']}",
        f"{100 * one['false_low']:.2f} to {100 * one['false_high']:.2f} %",
        str(one["held"]),
        str(one["too_early"]),
        f"{one['missed']} of {one['regressed']}",
        f"{one['missed_ample']} of {one['ample']}",
        *(
            _figure(one[key], digits)
            for key, digits in (
                ("ratio_mean", 2),
                ("ratio_median", 2),
                ("ratio_p90", 2),
                ("ratio_worst", 2),
                ("excess_failed", 0),
                ("excess_slow", 0),
            )
        ),
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _alarms(found: Mapping[str, Figures]) -> str:
    return _aligned([("gate", "false rollbacks", "95 % interval"), *_alarm_lines(found)])


def _alarm_lines(found: Mapping[str, Figures]) -> list[tuple[str, ...]]:
    return [
        (
            kind,
            f"{one['false']} of {one['runs']}",
            f"{100 * one['low']:.2f} to {100 * one['high']:.2f} %",
        )
        for kind, one in found.items()
    ]


def _delays(found: Sequence[Figures]) -> str:
    heads = ("regression", "onset", "bound, s", "median", "mean", "missed", "failed")
    return _aligned([heads, *_delay_lines(found)]) + "\n\n" + "\n".join(_delay_sums(found))


def _delay_lines(found: Sequence[Figures]) -> list[tuple[str, ...]]:
    return [
        (
            one["what"],
            f"{one['onset']:g} s",
            f"{one['bound']:.1f}",
            f"{one['median']:.2f}",
            f"{one['mean']:.2f}",
            f"{one['missed']} of {one['runs']}",
            f"{one['failed']:g}" if one["part"] == "failures" else "-",
        )
        for one in found
    ]


def _delay_sums(found: Sequence[Figures]) -> list[str]:
    """Over the regressions whose bound is no matter of one poll."""
    lines = []
    for part, onset in (("failures", 0.0), ("failures", 600.0), ("latency", 0.0)):
        these = [
            one
            for one in found
            if one["part"] == part and one["onset"] == onset and one["bound"] >= SOON
        ]
        if these:
            lines.append(
                f"{part} at {onset:g} s, bound at least {SOON:g} s: medians "
                f"{fmean(one['median'] for one in these):.2f} on average, "
                f"{max(one['median'] for one in these):.2f} worst; means "
                f"{fmean(one['mean'] for one in these):.2f}, "
                f"{max(one['mean'] for one in these):.2f}"
            )
    return lines


def _speed(found: Sequence[Figures]) -> str:
    heads = ("what", "us an observation", "s for an hour at 5 s", "watches on a core at 5 s")
    lines = [
        (
            one["what"],
            f"{1e6 * one['seconds']:.0f}",
            f"{720 * one['seconds']:.2f}",
            f"{5 / one['seconds']:.0f}",
        )
        for one in found
    ]
    return _aligned([heads, *lines])


def _table(found: Mapping[str, Any]) -> str:
    """Markdown of whatever parts there are."""
    parts = []
    if "score" in found:
        board = found["score"]
        parts.append(_markdown([_HEADS, *(_line(*one) for one in board["all"].items())]))
        judges = list(board["all"])
        for what, cell in (("healthy", _false_cell), ("regressed", _missed_cell)):
            heads = (f"family, {what}", *judges)
            parts.append(
                _markdown(
                    [
                        heads,
                        *(
                            (family, *(cell(one) for one in row.values()))
                            for family, row in board.items()
                        ),
                    ]
                )
            )
    if "alarms" in found:
        heads = ("gate", "false rollbacks", "95 % interval")
        parts.append(_markdown([heads, *_alarm_lines(found["alarms"])]))
    if "delays" in found:
        heads = ("regression", "onset", "bound, s", "median", "mean", "missed", "failed")
        parts.append(_markdown([heads, *_delay_lines(found["delays"])]))
        parts.append("\n".join(_delay_sums(found["delays"])))
    return "\n\n".join(parts)


def _false_cell(one: Figures) -> str:
    held = f", {one['held']} held" if one["held"] else ""
    return f"{one['false']} of {one['healthy']}{held}"


def _missed_cell(one: Figures) -> str:
    """Missed where three bounds were left, too early, and the mean delay in bounds."""
    early = f", {one['too_early']} early" if one["too_early"] else ""
    return f"{one['missed_ample']} of {one['ample']}{early}, {_figure(one['ratio_mean'], 1)}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


TEXTS: Mapping[str, Callable[[Any], str]] = {
    "corpus": _corpus,
    "score": _score,
    "alarms": _alarms,
    "delays": _delays,
    "speed": _speed,
    "table": _table,
}
