"""CODEOWNERS in which somebody of ops owns everything."""

import pytest

from guarded_rollout.core.code_owners import owners_of_all, with_owners

OPS = ("@ann", "@acme/ops")
LINE = "# Last, so that it decides: somebody of ops approves every change.\n* @ann @acme/ops\n"


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("", ()),
        ("* @ann", ("@ann",)),
        ("* @ann # why\n# * @bob\n\n", ("@ann",)),
        ("* @ann\n/docs/ @bob", ()),
        ("*\n", ()),
        ("*.py @ann", ()),
    ],
)
def test_the_last_line_decides(text, owners):
    assert owners_of_all(text) == owners


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", LINE),
        ("/docs/ @bob\n", f"/docs/ @bob\n\n{LINE}"),
        ("* @bob\n", LINE),
        ("* @ann @acme/ops @bob\n", LINE),
        ("* @bob\n/docs/ @bob\n", f"* @bob\n/docs/ @bob\n\n{LINE}"),
        ("* @ACME/ops @Ann\n", "* @ACME/ops @Ann\n"),
        (LINE, LINE),
    ],
)
def test_ops_alone_owns_everything_afterwards(before, after):
    """Any owner's approval is enough on GitHub, so a line with others too enforces nothing."""
    assert with_owners(before, OPS, "ops") == after
    assert {one.lower() for one in owners_of_all(after)} == set(OPS)
    assert with_owners(after, OPS, "ops") == after
