"""Branch protection on GitHub: read, compared, and set where it differs."""

from dataclasses import dataclass
from typing import Any

from guarded_rollout.core.branch_protection import (
    CHECKS,
    Setting,
    body,
    checks_body,
    differences,
    setting_of,
)
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.github.repository import Repository

_UNPROTECTED = "Branch not protected"
_MAY_NOT = {
    403: "the token may not read or set the protection of a branch, or the plan has none",
    404: "the branch is not there, or the token may not read its protection (Administration)",
    422: "this protection does not fit the repository",
}


@dataclass(frozen=True, slots=True)
class OwnersError:
    """What GitHub finds wrong in CODEOWNERS, such as an owner who may not write."""

    line: int
    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class _OwnersErrors:
    errors: tuple[OwnersError, ...]


def read_protection(hub: Repository, branch: str) -> Setting:
    """Look. An unprotected branch has a setting with nothing in it."""
    try:
        return setting_of(hub.get(_path(branch), dict[str, Any], _MAY_NOT))
    except NotPossible as problem:
        if _UNPROTECTED in problem.why.what:
            return setting_of(None)
        raise


def set_protection(hub: Repository, branch: str, before: Setting, after: Setting) -> None:
    """Set what differs, read it again, and compare. Broken when it is not what was set."""
    alike = {**before, CHECKS: after[CHECKS]}
    if before[CHECKS] is None or differences(alike, after):
        hub.set("PUT", _path(branch), body(after), _MAY_NOT)
    if before[CHECKS] is not None:
        # PUT would pin every check to the app that reported it last.
        path = f"{_path(branch)}/required_status_checks"
        hub.set("PATCH", path, checks_body(after, before), _MAY_NOT)
    # Which app a new check must come from is chosen by GitHub.
    seen = differences(read_protection(hub, branch), after)
    left = [one for one in seen if one.before is None or ".checks." not in one.name]
    if left:
        raise Broken(
            f"GitHub took the protection of {branch}, and it is another one: "
            + "; ".join(map(str, left)),
            "set that in the repository's settings, then try again",
        )


def owners_errors(hub: Repository, branch: str) -> tuple[OwnersError, ...]:
    """Look: what is wrong with CODEOWNERS on the branch. NotPossible where there is none."""
    because = {404: f"{branch} has no CODEOWNERS"}
    return hub.get(f"/codeowners/errors?ref={branch}", _OwnersErrors, because).errors


def _path(branch: str) -> str:
    return f"/branches/{branch}/protection"
