"""`rollout pr check`: green on what premerge left, red with the reason after any change."""

import json
import shutil

import pytest
from github_server import TOKEN
from made_artifacts import STEPS, ZIPS, make_artifacts, write_manifest

CHECK = ("pr", "check")
OFFLINE = (*CHECK, "--offline")
FILES = (
    *STEPS.values(),
    "junit-smoke.xml",
    "summary.md",
    "monitor_logs/monitor_staging.log",
    *ZIPS,
    *(f"{name}.sha256" for name in ZIPS),
)
OWNERS = "* @Ann-B\n"


@pytest.fixture
def artifacts(team):
    return make_artifacts(team.project.root, team.head)


@pytest.fixture
def green(team, artifacts):
    """Everything is as it must be."""
    team.hub.run(team.head)
    team.project.write(".github/CODEOWNERS", OWNERS)
    assert team.run("pr", "protect").code == 0
    team.hub.review("bob")
    team.hub.review("Ann-B")
    return team


def marks(answer):
    return {one["key"]: one["mark"] for one in answer.document["items"]}


def test_it_is_green_on_what_is_there(green):
    """Twelve items, each with its evidence; nobody's token in it."""
    answer = green.run(*CHECK)
    assert answer.code == 0, answer
    assert "all 12 items are as they must be" in answer.out
    told = green.run(*CHECK, "--pr", "12", "--json")
    assert set(marks(told).values()) == {"ok"}
    assert told.document["green"]
    assert TOKEN not in answer.out + answer.err + told.out
    texts = json.dumps(told.document)
    assert "https://github.example/runs/1" in texts
    assert "bob (bob on GitHub)" in texts
    assert "watched for: 60 min" in texts


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["remove", "alter", "link"])
def test_a_file_that_is_gone_or_another_is_named(team, artifacts, name, change):
    """Its digest is computed again; offline too."""
    file = artifacts / name
    if change == "alter":
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        file.rename(artifacts.parent / "elsewhere")
    if change == "link":
        file.symlink_to(artifacts.parent / "elsewhere")
    why = {"remove": "is missing", "alter": "was altered: sha256 ", "link": "is a link"}[change]
    answer = team.run(*OFFLINE)
    assert answer.code == 1
    (line,) = [one for one in answer.out.splitlines() if "is whole" in one]
    assert line.startswith("RED ")
    assert f"{name} {why}" in line
    assert "-> rollout premerge" in line


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("deploy-dryrun.log", "dry_runs"),
        ("migrate-dryrun.log", "dry_runs"),
        ("postdeploy-smoketests.log", "test_logs"),
        ("test_logging.log", "test_logs"),
        ("monitor_logs/monitor_staging.log", "monitor"),
        (ZIPS[0], "backups"),
        (f"{ZIPS[1]}.sha256", "verified"),
    ],
)
def test_the_item_that_it_belongs_to_is_red_too(team, artifacts, name, item):
    (artifacts / name).unlink()
    assert marks(team.run(*OFFLINE, "--json"))[item] == "RED"


def test_a_manifest_that_is_made_to_fit_is_still_not_enough(team, artifacts):
    """What the documents ask for must be there, whatever the manifest says."""
    shutil.rmtree(artifacts / "backups")
    (artifacts / "monitor_logs/monitor_staging.log").unlink()
    (artifacts / "deploy-dryrun.log").write_text("")
    write_manifest(artifacts, team.head)
    found = marks(team.run(*OFFLINE, "--json"))
    assert (found["bundle"], found["backups"], found["verified"]) == ("ok", "RED", "RED")
    assert found["monitor"] == "not there"


def test_a_checksum_of_another_backup_is_found(team, artifacts):
    first, second = (artifacts / f"{name}.sha256" for name in ZIPS)
    first.write_text(second.read_text().replace(ZIPS[1], ZIPS[0]))
    write_manifest(artifacts, team.head)
    answer = team.run(*OFFLINE)
    assert f"{ZIPS[0]}.sha256 has another SHA-256 than {ZIPS[0]}" in answer.out
    first.write_text(second.read_text())
    write_manifest(artifacts, team.head)
    assert f"{ZIPS[0]}.sha256 is missing, or names another file" in team.run(*OFFLINE).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"deploy_dryrun": ("failed", "disk is full")}, "deploy-dryrun failed: disk is full"),
        ({"smoke": ("skipped", "it needs Linux")}, "smoke skipped: it needs Linux"),
        ({"backup_verify": ("skipped", "no backup")}, "backup-verify skipped: no backup"),
        ({"clean": False}, "the files were not those of a commit when it was made"),
        ({"commit": "a" * 40}, "it was made of aaaaaaaaaaaa, and the head is "),
        ({"commit": None}, "it was made of no commit, and the head is "),
    ],
)
def test_a_run_that_did_not_prove_it_is_red(team, options, said):
    make_artifacts(team.project.root, options.pop("commit", team.head), **options)
    answer = team.run(*OFFLINE)
    assert (answer.code, said in answer.out) == (1, True), answer


def test_what_nobody_made_is_named(team, artifacts):
    (artifacts / "more.log").write_text("x")
    assert "more.log is not in manifest.json" in team.run(*OFFLINE).out


def test_without_artifacts_it_says_how_to_make_them(team):
    answer = team.run(*OFFLINE)
    assert answer.code == 1
    assert "premerge_artifacts/manifest.json cannot be read" in answer.out
    assert "rollout premerge" in answer.out
    make_artifacts(team.project.root, team.head)
    (team.project.root / "premerge_artifacts/manifest.json").write_text("{}")
    assert "is no manifest of premerge" in team.run(*OFFLINE).out


def test_offline_says_what_was_not_checked(team, artifacts):
    """Nothing is red, and it is not green either. No server is asked."""
    answer = team.run(*OFFLINE)
    assert (answer.code, team.hub.asked) == (0, [])
    assert "nothing is red; 5 of 12 items were not checked" in answer.out
    told = team.run(*OFFLINE, "--json")
    assert not told.document["green"]
    unasked = {key for key, mark in marks(told).items() if mark == "not checked"}
    assert unasked == {"links", "workflow", "protection", "ops", "reviewers"}


def fail_the_run(team):
    team.hub.runs[0]["conclusion"] = "failure"


def be_running(team):
    team.hub.runs[0] |= {"conclusion": None, "status": "in_progress"}


def run_of_another_commit(team):
    team.hub.runs[0]["head_sha"] = "b" * 40


def never_run(team):
    team.hub.runs.clear()


def fail_a_job(team):
    team.hub.jobs[1][2]["conclusion"] = "failure"


def lose_a_platform(team):
    del team.hub.jobs[1][1]


def unprotect(team):
    team.hub.protection.clear()


def loosen(team):
    team.hub.protection["main"]["required_linear_history"] = False


def require_one(team):
    reviews = team.hub.protection["main"]["required_pull_request_reviews"]
    reviews["required_approving_review_count"] = 1


def let_somebody_around(team):
    reviews = team.hub.protection["main"]["required_pull_request_reviews"]
    reviews["bypass_pull_request_allowances"] = {"users": ["bob"], "teams": [], "apps": []}


def forget_a_check(team):
    team.hub.protection["main"]["required_status_checks"]["checks"].pop()


def have_no_owners(team):
    (team.project.root / ".github/CODEOWNERS").unlink()


def let_others_own(team):
    team.project.write(".github/CODEOWNERS", "* @Ann-B @bob\n")


def own_without_access(team):
    team.hub.owner_errors = [
        {"line": 1, "column": 3, "kind": "Unknown owner", "path": ".github/CODEOWNERS"}
        | {"message": "Unknown owner", "source": "* @Ann-B"}
    ]


def have_no_owners_on_main(team):
    team.hub.owner_errors = None


def ops_takes_it_back(team):
    team.hub.review("Ann-B", "CHANGES_REQUESTED")


def be_one_only(team):
    team.hub.review("bob", "CHANGES_REQUESTED")


def push(team):
    team.hub.pulls[12]["head"]["sha"] = "c" * 40


def tune_without_ops(team):
    team.hub.review("Ann-B", "CHANGES_REQUESTED")
    team.project.write(
        "quality-gates-config.json",
        '{"environments": {"production": {"monitoring": {"duration": 10}}}}',
    )


RED = {
    fail_the_run: ("workflow", "it ended with failure"),
    be_running: ("workflow", "it is in_progress"),
    run_of_another_commit: ("workflow", "premerge.yml never ran for the head commit"),
    never_run: ("links", "premerge.yml never ran for the head commit"),
    fail_a_job: ("links", "no job of it passed on windows"),
    lose_a_platform: ("links", "no job of it passed on macos"),
    unprotect: ("protection", "enforce_admins: false -> true"),
    loosen: ("protection", "required_linear_history: false -> true"),
    require_one: ("protection", "required_approving_review_count: 1 -> 2"),
    let_somebody_around: ("protection", "bob may merge without reviews"),
    forget_a_check: ("protection", "required_status_checks.checks.premerge ("),
    have_no_owners: ("protection", "CODEOWNERS gives nobody everything"),
    let_others_own: ("protection", "lets others than ops approve everything: @ann-b, @bob"),
    own_without_access: ("protection", ".github/CODEOWNERS:1: Unknown owner"),
    have_no_owners_on_main: ("protection", "main has no CODEOWNERS"),
    ops_takes_it_back: (
        "ops",
        "nobody of ops has approved it (ann); the last review of Ann-B asks",
    ),
    be_one_only: ("reviewers", "1 of 2 approvals; the last review of bob asks for changes"),
    push: ("reviewers", "0 of 2 approvals; stale: it is for "),
    tune_without_ops: ("monitoring", "watched for is 10 min, not 60 min, and ops has not approved"),
}


@pytest.mark.parametrize("mutate", RED, ids=lambda mutate: mutate.__name__)
def test_each_change_turns_its_item_red_with_the_reason(green, mutate):
    key, said = RED[mutate]
    mutate(green)
    answer = green.run(*CHECK, "--pr", "12", "--json")
    assert answer.code == 1
    (found,) = [one for one in answer.document["items"] if one["key"] == key]
    assert found["mark"] == "RED"
    assert said in found["why"], found
    assert found["todo"]


def test_tuned_numbers_are_fine_when_ops_has_approved_them(green):
    """They are in the files that were reviewed."""
    text = '{"environments": {"production": {"monitoring": {"duration": 10}}}}'
    green.project.write("quality-gates-config.json", text)
    assert green.run(*CHECK).code == 0
    offline = green.run(*OFFLINE)
    assert "not the defaults (watched for is 10 min, not 60 min)" in offline.out


def test_a_pull_request_that_is_not_there_is_said(green):
    """Items of the artifacts are still judged."""
    green.hub.pulls.clear()
    answer = green.run(*CHECK)
    assert answer.code == 1
    assert "no pull requests have " in answer.out
    assert "say which: --pr N" in answer.out
    assert "ok           premerge_artifacts/ is whole" in answer.out
    other = green.run(*CHECK, "--pr", "99")
    assert "404" in other.out
    assert green.run(*CHECK, "--pr", "none").code == 1


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_what_github_refuses_is_red_and_the_rest_is_looked_at(green, status):
    green.hub.plan = [("GET", status, {}, {"message": "No"})] * 9
    answer = green.run(*CHECK)
    assert answer.code == 1
    assert f"answered {status}: No" in answer.out
    assert "ok           deploy-dryrun.log and migrate-dryrun.log" in answer.out
    assert TOKEN not in answer.out
