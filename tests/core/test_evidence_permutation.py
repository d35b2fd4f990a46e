"""The sums over all deals, against polynomials of fractions."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_permutation import log_choose, log_coefficient, log_sums


def coefficient(weights, counts, chosen) -> float:
    """log [z^chosen] Π (1 + w z)^D, exactly until the last step."""
    polynomial = [Fraction(1)]
    for weight, count in zip(map(Fraction, weights), counts, strict=True):
        for _ in range(count):
            shifted = [Fraction(0), *(weight * entry for entry in polynomial)]
            polynomial = [a + b for a, b in zip([*polynomial, Fraction(0)], shifted, strict=True)]
    found = polynomial[chosen]
    return math.log(found.numerator) - math.log(found.denominator)


GROUPS = st.lists(
    st.tuples(st.sampled_from([0.03, 0.5, 1.0, 1.3, 4.0, 20.0, 300.0]), st.integers(0, 40)),
    min_size=1,
    max_size=6,
).filter(lambda groups: sum(d for _, d in groups) > 0)


@given(GROUPS, st.floats(0, 1))
def test_the_transform_is_the_coefficient(groups, part):
    """Any weights, any counts, any number chosen; never below it by more than rounding."""
    weights, counts = zip(*groups, strict=True)
    chosen = round(part * sum(counts))
    off = log_coefficient(weights, counts, chosen) - coefficient(weights, counts, chosen)
    assert -1e-9 < off < 1e-6


@given(GROUPS, st.floats(0.05, 0.95), st.integers(1, 8))
def test_the_bound_is_above_and_near(groups, part, times):
    """What a bet divides by may be too large, never too small."""
    weights, counts = zip(*((w, d * times) for w, d in groups), strict=True)
    chosen = round(part * sum(counts))
    off = log_coefficient(weights, counts, chosen, bound=True) - log_coefficient(
        weights, counts, chosen
    )
    assert -1e-6 < off < 0.0095


@pytest.mark.parametrize(
    ("n", "m", "bad"), [(3, 9, 4), (12, 238, 7), (125, 2375, 130), (80, 9, 60)]
)
def test_two_arms_are_summed_exactly(n, m, bad):
    """Short sums and long ones, at odds far from one; only differences mean something."""
    odds = [0.05, 1.0, 1.25, 8.0, 60.0]
    found = log_sums(n, m, bad, odds)
    for t, value in zip(odds, found, strict=True):
        exact = [
            log_choose(n, x) + log_choose(m, bad - x) + x * math.log(t)
            for x in range(max(0, bad - m), min(n, bad) + 1)
        ]
        peak = max(exact)
        total = peak + math.log(sum(math.exp(v - peak) for v in exact))
        even = log_choose(n + m, bad)
        assert value - found[1] == pytest.approx(total - even, abs=1e-6)


def test_more_than_there_are_cannot_be_chosen():
    """A mistake of the caller, not a number."""
    with pytest.raises(ValueError, match="cannot be chosen"):
        log_coefficient((1.0,), (3,), 4)
