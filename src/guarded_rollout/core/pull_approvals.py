"""What people and settings prove about a pull request."""

from collections.abc import Mapping, Sequence

from guarded_rollout.core.branch_protection import Setting, differences, may_go_around, wanted
from guarded_rollout.core.code_owners import owners_of_all
from guarded_rollout.core.problems import Why
from guarded_rollout.core.pull_checklist import Item, Seen, item, refused, unasked
from guarded_rollout.core.reviews import Pull, agreed_by_review, pull_fault
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.statement import Refused, SignOff, Statement

OPS = "ops"
APPROVALS = 2
_NOBODY = Statement("", "", "", "", "", 0.0, 0.0)
_NO_POLICY = "[environments.production.signoffs] is not there: who is of ops is not known"
_ADD_POLICY = "docs/reference/signoffs.md: people with groups and github, and github = true"


def approval_items(pull: Pull | Why, policy: SignOffPolicy | None) -> tuple[Item, Item]:
    """`ops` and `reviewers`: who approved the head, and is not who wrote it."""
    if isinstance(pull, Why):
        return refused("ops", pull), refused("reviewers", pull)
    if policy is None:
        return (
            item("ops", [_NO_POLICY], _ADD_POLICY),
            item("reviewers", [_NO_POLICY], _ADD_POLICY),
        )
    fault = pull_fault(pull)
    found = [] if fault else list(agreed_by_review(policy, pull, _NOBODY))
    agreed = [one for one in found if isinstance(one, SignOff)]
    void = [fault] if fault else [one.why for one in found if isinstance(one, Refused)]
    ops = set(policy.members(OPS))
    seen = [Seen(f"{one.statement.who} ({one.statement.account})", one.source) for one in agreed]
    of_ops = [one for one, by in zip(seen, agreed, strict=True) if by.statement.who in ops]
    needed = max(policy.needed, APPROVALS)
    short = needed - len(agreed)
    todo = f"have {pull.url} approved at {pull.head[:12]}"
    none = [] if of_ops else [f"nobody of ops has approved it ({', '.join(ops) or 'ops is empty'})"]
    few = [f"{len(agreed)} of {needed} approvals"] if short > 0 else []
    return (
        item("ops", none + (void if none else []), f"{todo} by one of ops", of_ops),
        item("reviewers", few + (void if few else []), todo, seen),
    )


def monitoring_item(
    numbers: Sequence[str], differ: Sequence[str], ops: Item, *, asked: bool
) -> Item:
    """Defaults need nobody. What differs is in the files, so who approves the head has seen it.

    `differ`: what is not as the documents have it. `ops`: the item of that name.
    """
    seen = [Seen(text) for text in numbers]
    if differ and not asked:
        return unasked("monitoring", f"not the defaults ({'; '.join(differ)}): whether ops agrees")
    faults = [f"{one}, and ops has not approved it" for one in differ if ops.why]
    return item("monitoring", faults, "go back to the defaults, or have ops approve", seen)


def protection_item(
    setting: Setting | Why,
    checks: Sequence[str],
    owners: tuple[str, str, Sequence[str]],
    errors: Sequence[str] | Why,
) -> Item:
    """`checks`: that premerge reports. `owners`: the file, its text, who must own everything.

    `errors`: what GitHub finds wrong in the file.
    """
    if isinstance(setting, Why):
        return refused("protection", setting)
    faults = [str(one) for one in differences(setting, wanted(setting, checks, APPROVALS))]
    faults += [f"{who} may merge without reviews" for who in may_go_around(setting)]
    file, text, wished = owners
    theirs = {owner.lower() for owner in owners_of_all(text)}
    if not theirs:
        faults.append(f"{file} gives nobody everything")
    elif wished and not theirs <= {owner.lower() for owner in wished}:
        faults.append(
            f"{file} lets others than ops approve everything: {', '.join(sorted(theirs))}"
        )
    faults += [errors.what] if isinstance(errors, Why) else errors
    seen = [Seen(f"{file}: * {' '.join(sorted(theirs))}")] if theirs else []
    return item("protection", faults, "rollout pr protect --dry-run shows it", seen)


def monitoring_numbers(numbers: Mapping[str, object], usual: Mapping[str, object]) -> list[str]:
    """What differs, in words."""
    return [
        f"{name} is {value}, not {usual[name]}"
        for name, value in numbers.items()
        if value != usual[name]
    ]
