"""`rollout pr body`: ticked where it is proven, and nowhere else."""

import hashlib
import re
from pathlib import Path

import pytest
from github_server import TOKEN
from made_artifacts import ZIPS, make_artifacts
from markdown_it import MarkdownIt

BODY = ("pr", "body")
SEED_ITEMS = (
    "**backups/*.zip + corresponding .sha256** files attached",
    "**deploy-dryrun.log, migrate-dryrun.log** attached",
    "**postdeploy-smoketests.log, test_logging.log** attached",
    "**premerge_artifacts/** (CI artifacts bundle) attached",
    "**monitor_logs/** (from staging/canary dry-run if available) attached",
    "**Links to CI runs** (Ubuntu / macOS / Windows) and premerge-validation run",
    "**CI: premerge GitHub Actions workflow passed** (status: `.github/workflows/premerge.yml`)",
    "**Branch protection enabled**: require CI status contexts and 2 approvers (≥1 Ops/SRE)",
    "**Backups verified**: latest backup exists and SHA256 validated",
    (
        "**Deploy operator (@ops) has reviewed artifacts** and given explicit sign-off for guarded "
        "rollout"
    ),
    "**Confirm monitoring & auto-rollback settings** are acceptable:",
    (
        "**Update PR reviewers**: add @ops, @media-eng, on-call Ops/SRE + at least one additional "
        "approver"
    ),
)
"""As the documents have them."""


def ticks(text):
    return {what: tick == "x" for tick, what in re.findall(r"^- \[(.)\] (.+)$", text, re.MULTILINE)}


@pytest.fixture
def green(team):
    """Everything is as it must be."""
    make_artifacts(team.project.root, team.head)
    team.hub.run(team.head)
    team.project.write(".github/CODEOWNERS", "* @Ann-B\n")
    assert team.run("pr", "protect").code == 0
    team.hub.review("bob")
    team.hub.review("Ann-B")
    return team


def test_every_item_of_the_documents_is_ticked_when_it_is_proven(green):
    """With digests, links, numbers and names; no placeholder and no token is left."""
    answer = green.run(*BODY, "--out", "body.md")
    assert answer.code == 0, answer
    assert "body.md is written: 12 of 12 items are ticked" in answer.out
    text = Path("body.md").read_text()
    assert ticks(text) == dict.fromkeys(SEED_ITEMS, True)
    digest = hashlib.sha256(Path("premerge_artifacts", ZIPS[1]).read_bytes()).hexdigest()
    for part in (
        "# `work`",
        f"`{green.head}` of pull request https://github.example/acme/shop/pull/12.",
        f"`{ZIPS[1]} sha256:{digest}`",
        "[`premerge (windows-latest)`](https://github.example/runs/1/job/windows)",
        "[`ann (Ann-B on GitHub)`](https://github.example/pull/12#review-2)",
        "`watched for: 60 min`",
        "`looked at every: 30 s for 5 min, then 2 min`",
        'sha256sum -c "${LATEST_BACKUP}.sha256"',
    ):
        assert part in text, part
    assert TOKEN not in text
    assert "_seen}" not in text


def test_what_is_not_proven_is_not_ticked_and_says_why(green):
    (green.project.root / "premerge_artifacts/deploy-dryrun.log").write_text("PASS\n")
    green.hub.review("Ann-B", "CHANGES_REQUESTED")
    text = green.run(*BODY).out
    open_ones = {what.split("**")[1] for what, tick in ticks(text).items() if not tick}
    assert open_ones == {
        "deploy-dryrun.log, migrate-dryrun.log",
        "premerge_artifacts/",
        "Deploy operator (@ops) has reviewed artifacts",
        "Update PR reviewers",
    }
    assert "  - RED: `deploy-dryrun.log was altered: sha256 " in text


def test_offline_ticks_what_the_artifacts_prove(green):
    """No server is asked."""
    before = len(green.hub.asked)
    text = green.run(*BODY, "--offline").out
    assert len(green.hub.asked) == before
    assert sum(ticks(text).values()) == 7
    assert text.count("not checked: `GitHub was not asked (--offline)`") == 5


def test_without_anything_it_ticks_nothing_but_the_defaults(team):
    """A text that a person starts from."""
    text = team.run(*BODY, "--offline").out
    assert [what for what, tick in ticks(text).items() if tick] == [SEED_ITEMS[10]]


def test_the_projects_own_template_wins(green):
    green.project.write("templates/pr/body.md", "[{backups}] {nothing} {links}\n{workflow_seen}\n")
    text = green.run(*BODY).out
    assert text == "[x] {nothing} x\n  - [`premerge`](https://github.example/runs/1)\n"


def test_text_from_outside_stays_text(green):
    """A commit, a job or a login cannot write markup, mentions or ticks."""
    evil = "x`](http://evil) @everyone <b> - [x] **done**"
    green.git("commit", "-q", "--allow-empty", "-m", evil)
    head = green.git("rev-parse", "HEAD")
    green.hub.pulls[12]["head"]["sha"] = head
    green.hub.commits[12].append({**green.hub.commits[12][0], "sha": head})
    green.hub.pulls[12]["commits"] = 2
    green.hub.trees[head] = "1" * 40
    green.hub.run(head)
    green.hub.jobs[2][0] |= {"name": f"ubuntu {evil}", "html_url": "https://evil/)[x](y"}
    html = MarkdownIt().render(green.run(*BODY).out)
    assert 'href="http://evil"' not in html
    assert "https://evil" not in re.findall(r'href="([^"]+)"', html)
    assert "<b>" not in html
    assert len(ticks(green.run(*BODY).out)) == len(SEED_ITEMS)
