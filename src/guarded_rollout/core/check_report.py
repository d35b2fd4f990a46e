"""What came of checks, for people, for machines, and as JUnit XML for a build server."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from guarded_rollout.core.redact import redact

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Result:
    """One check's result.

    Fields:
        ms: how long it took.
        problem: None: as expected.
        group: what it belongs to, e.g. `security`.
        tier: how urgent it is; empty where there are no tiers.
        note: what was measured, where that says more than `ms`.
    """

    check: str
    ms: float
    problem: str | None
    group: str = ""
    tier: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A run of checks. `about`: lines that say what was asked, and what was left out.

    Fields:
        began: `2026-11-21T03:15:00`, UTC.
        host: where the checks were sent to.
    """

    title: str
    environment: str
    began: str
    host: str
    results: tuple[Result, ...]
    about: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Result, ...]:
        """Those that did not pass."""
        return tuple(result for result in self.results if result.problem is not None)

    def ending(self) -> str:
        """One line for the end."""
        if self.failed:
            return f"{len(self.failed)} of {len(self.results)} checks failed"
        return f"all {len(self.results)} checks passed"

    def lines(self) -> list[str]:
        """All of it, for people."""
        return [*self.head(), *map(result_line, self.results), self.ending()]

    def head(self) -> list[str]:
        """What is being checked."""
        return [f"{self.title} in {self.environment}, {self.began} UTC, {self.host}", *self.about]

    def document(self) -> dict[str, Any]:
        """The same for machines."""
        return {**asdict(self), "passed": not self.failed}

    def junit(self) -> str:
        """One suite, as the schemas of Ant and of Jenkins want it; redacted."""
        suite = Element("testsuite")
        for name, value in (
            ("name", f"{self.title} {self.environment}"),
            ("package", "rollout"),
            ("id", "0"),
            ("timestamp", self.began),
            ("hostname", self.host),
            ("tests", str(len(self.results))),
            ("failures", str(len(self.failed))),
            ("errors", "0"),
            ("skipped", "0"),
            ("time", _seconds(self.results)),
        ):
            suite.set(name, _clean(value))
        properties = SubElement(suite, "properties")
        SubElement(properties, "property", name="environment", value=_clean(self.environment))
        for result in self.results:
            case = SubElement(
                suite,
                "testcase",
                name=_clean(result.check),
                classname=_clean(".".join(filter(None, ("rollout", result.tier, result.group)))),
                time=_seconds((result,)),
            )
            if result.problem is not None:
                told = _clean(result.problem)
                SubElement(case, "failure", type="failed", message=told).text = told
        SubElement(suite, "system-out").text = _clean("\n".join((*self.about, *self._notes())))
        SubElement(suite, "system-err")
        suites = Element("testsuites")
        suites.append(suite)
        text = tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

    def _notes(self) -> list[str]:
        return [f"{result.check}: {result.note}" for result in self.results if result.note]


def result_line(result: Result) -> str:
    """One result, for people."""
    kind = "/".join(filter(None, (result.tier, result.group)))
    said = "; ".join(filter(None, (result.note, result.problem)))
    mark = "ok" if result.problem is None else "FAILED"
    return f"{mark:<7} {kind:<20} {result.check:<36} {result.ms:8.1f} ms  {said}".rstrip()


def _seconds(results: Sequence[Result]) -> str:
    return f"{sum(result.ms for result in results) / 1000:.3f}"


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("?", redact(text))
