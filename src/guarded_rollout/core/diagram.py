"""The transition table as a picture and as a table, for docs/reference/states.md."""

from guarded_rollout.core.state import ENDINGS, Phase
from guarded_rollout.core.transitions import TABLE


def mermaid() -> str:
    """A Mermaid state diagram, drawn from the table. Facts that change no phase are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {_name(Phase.NEW)}"]
    for phase, facts in TABLE.items():
        for fact, phases in facts.items():
            lines += [
                f"    {_name(phase)} --> {_name(after)}: {fact.__name__}"
                for after in sorted(phases)
                if after is not phase
            ]
    lines += [f"    {_name(ending)} --> [*]" for ending in sorted(ENDINGS)]
    return "\n".join(lines)


def table() -> str:
    """Every fact in every phase; what is not here raises ImpossibleFact."""
    lines = ["| phase | fact | then |", "|---|---|---|"]
    for phase, facts in TABLE.items():
        if not facts:
            lines.append(f"| {phase} | none: it has ended | |")
        for fact, phases in facts.items():
            lines.append(f"| {phase} | {fact.__name__} | {', '.join(sorted(phases))} |")
    return "\n".join(lines)


def page() -> str:
    """The whole of docs/reference/states.md."""
    return (
        "# States of a rollout\n\n"
        "Made from the transition table by `just docs`. A fact that is not listed for a phase "
        "cannot happen in it: the engine raises `ImpossibleFact` and writes nothing.\n\n"
        f"```mermaid\n{mermaid()}\n```\n\n{table()}\n"
    )


def _name(phase: Phase) -> str:
    return phase.replace("-", "_")
