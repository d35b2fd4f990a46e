"""What a branch must have, what differs, and what is left as it is."""

from github_pulls import shown

from guarded_rollout.core.branch_protection import (
    body,
    checks_body,
    differences,
    may_go_around,
    setting_of,
    wanted,
)

NOTHING = setting_of(None)
STRICTER = {
    "required_status_checks": {
        "strict": False,
        "contexts": ["lint"],
        "checks": [{"context": "lint", "app_id": 7}, {"context": "docs", "app_id": None}],
    },
    "enforce_admins": True,
    "required_pull_request_reviews": {
        "required_approving_review_count": 3,
        "dismissal_restrictions": {"users": ["ann"], "teams": ["sre"], "apps": []},
        "bypass_pull_request_allowances": {"users": [], "teams": [], "apps": ["robot"]},
    },
    "restrictions": {"users": ["bob"], "teams": [], "apps": []},
    "allow_deletions": True,
    "required_conversation_resolution": True,
}


def test_an_unprotected_branch_gets_all_of_it():
    after = wanted(NOTHING, ["premerge"], 2)
    names = {one.name: one.after for one in differences(NOTHING, after)}
    assert names == {
        "enforce_admins": True,
        "required_linear_history": True,
        "required_pull_request_reviews.dismiss_stale_reviews": True,
        "required_pull_request_reviews.require_code_owner_reviews": True,
        "required_pull_request_reviews.require_last_push_approval": True,
        "required_pull_request_reviews.required_approving_review_count": 2,
        "required_status_checks.checks.premerge": "required",
        "required_status_checks.strict": True,
    }
    assert body(after)["required_status_checks"] == {"strict": True, "contexts": ["premerge"]}


def test_what_is_stricter_or_somebody_elses_stays():
    """Three approvals, limits, other checks with the app they must come from."""
    before = setting_of(shown(STRICTER))
    after = wanted(before, ["premerge"], 2)
    reviews = after["required_pull_request_reviews"]
    assert reviews["required_approving_review_count"] == 3
    assert reviews["dismissal_restrictions"]["teams"] == ["sre"]
    assert after["restrictions"] == {"users": ["bob"], "teams": [], "apps": []}
    assert after["required_conversation_resolution"]
    assert after["allow_deletions"] is False
    assert may_go_around(before) == ("robot",)
    assert checks_body(after, before)["checks"] == [
        {"context": "premerge"},
        {"context": "lint", "app_id": 7},
        {"context": "docs", "app_id": -1},
    ]


def test_what_is_as_it_must_be_differs_in_nothing():
    after = wanted(setting_of(shown(STRICTER)), ["premerge"], 2)
    assert differences(after, wanted(after, ["premerge"], 2)) == ()
    assert [str(one) for one in differences(after, {**after, "enforce_admins": False})] == [
        "enforce_admins: true -> false"
    ]
