"""A branch's protection: what it is, what it must be, and the difference.

Source: GitHub REST API, https://docs.github.com/rest/branches/branch-protection. GitHub answers in
another shape than it is set in; here it has the one that it is set in.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Setting: TypeAlias = dict[str, Any]

CHECKS, REVIEWS = "required_status_checks", "required_pull_request_reviews"
ANY_APP = -1
_SWITCHES = (
    "enforce_admins",
    "required_linear_history",
    "allow_force_pushes",
    "allow_deletions",
    "block_creations",
    "required_conversation_resolution",
    "lock_branch",
    "allow_fork_syncing",
)
_REVIEW_SWITCHES = (
    "dismiss_stale_reviews",
    "require_code_owner_reviews",
    "required_approving_review_count",
    "require_last_push_approval",
)
_WHO = ("dismissal_restrictions", "bypass_pull_request_allowances")
_NAMED = (("users", "login"), ("teams", "slug"), ("apps", "slug"))


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting. `name`: `required_linear_history`, `required_status_checks.strict`."""

    name: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.before)} -> {_shown(self.after)}"


def setting_of(answer: Mapping[str, Any] | None) -> Setting:
    """GitHub's answer as a setting. None: the branch is not protected."""
    answer = answer or {}
    checks, reviews = answer.get(CHECKS), answer.get(REVIEWS)
    limits = answer.get("restrictions")
    return {
        CHECKS: _checks(checks) if checks is not None else None,
        REVIEWS: _reviews(reviews) if reviews is not None else None,
        "restrictions": _names(limits) if limits is not None else None,
        **{name: bool((answer.get(name) or {}).get("enabled")) for name in _SWITCHES},
    }


def wanted(setting: Setting, checks: Sequence[str], approvals: int) -> Setting:
    """The same with what a guarded rollout needs; nothing that is stricter is taken back."""
    new = copy.deepcopy(setting)
    required = new[CHECKS] or {"strict": True, "checks": {}}
    new[CHECKS] = {
        "strict": True,
        "checks": {**dict.fromkeys(checks), **required["checks"]},
    }
    reviews = new[REVIEWS] or {"required_approving_review_count": 0}
    new[REVIEWS] = {
        **reviews,
        "dismiss_stale_reviews": True,
        "require_code_owner_reviews": True,
        "require_last_push_approval": True,
        "required_approving_review_count": max(
            approvals, reviews["required_approving_review_count"]
        ),
    }
    new |= {
        "enforce_admins": True,
        "required_linear_history": True,
        "allow_force_pushes": False,
        "allow_deletions": False,
    }
    return new


def differences(before: Setting, after: Setting) -> tuple[Difference, ...]:
    """Setting by setting."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Difference(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def may_go_around(setting: Setting) -> tuple[str, ...]:
    """Who needs no reviews, by name."""
    around = (setting[REVIEWS] or {}).get("bypass_pull_request_allowances") or {}
    return tuple(name for names in around.values() for name in names)


def body(setting: Setting) -> dict[str, Any]:
    """What is sent to set all of it. Which app a check must come from stands in `checks_body`.

    GitHub refuses `contexts` and `checks` together, and describes `contexts` as required.
    """
    checks = setting[CHECKS]
    contexts = {"strict": checks["strict"], "contexts": list(checks["checks"])} if checks else None
    return {**setting, CHECKS: contexts}


def checks_body(setting: Setting, before: Setting) -> dict[str, Any]:
    """What is sent to set the checks alone. Those that were there keep their app, or any app."""
    old = (before[CHECKS] or {"checks": {}})["checks"]
    return {
        "strict": setting[CHECKS]["strict"],
        "checks": [
            {"context": name, **({"app_id": app or ANY_APP} if name in old else {})}
            for name, app in setting[CHECKS]["checks"].items()
        ],
    }


def _checks(answer: Mapping[str, Any]) -> Setting:
    listed = answer.get("checks") or [{"context": name} for name in answer.get("contexts", ())]
    return {
        "strict": bool(answer.get("strict")),
        "checks": {one["context"]: one.get("app_id") for one in listed},
    }


def _reviews(answer: Mapping[str, Any]) -> Setting:
    plain = {name: answer.get(name) or 0 for name in _REVIEW_SWITCHES[2:3]}
    switches = {name: bool(answer.get(name)) for name in _REVIEW_SWITCHES if name not in plain}
    return {**switches, **plain, **{name: _names(answer[name]) for name in _WHO if name in answer}}


def _names(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    return {kind: [one[key] for one in answer.get(kind, ())] for kind, key in _NAMED}


def _flat(part: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(part, dict) and part:
        for key, value in part.items():
            if name.endswith(".checks"):
                yield f"{name}.{key}", f"from app {value}" if value else "required"
            else:
                yield from _flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, part


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)
