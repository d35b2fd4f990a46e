"""The stages of a canary: `[[environments.<name>.stages]]` of rollout.toml."""

from guarded_rollout.adapters.configuration.located import Value
from guarded_rollout.core.spec import EVERYBODY, Stage


def read_stages(value: Value) -> tuple[Stage, ...]:
    """Each has more users than the one before; everybody comes by itself at the end."""
    stages: list[Stage] = []
    for member in value.members():
        fields = member.table(required=("percent", "bake"), optional=())
        percent = fields["percent"].number(0.1, 99.9, "percent")
        if stages and percent <= stages[-1].percent:
            raise fields["percent"].problem(
                f"{percent:g} % is not more than the stage before ({stages[-1].percent:g} %)",
                "let the share grow; 100 % comes by itself at the end",
            )
        if abs(percent * 10 - round(percent * 10)) > 1e-9:
            raise fields["percent"].problem(
                f"{percent:g} % cannot be routed exactly", "use steps of 0.1 %"
            )
        stages.append(Stage(percent, fields["bake"].seconds()))
    if not stages:
        raise value.problem("has no stage", "leave it out for 5, 25, 50, 100 %")
    return (*stages, EVERYBODY)
