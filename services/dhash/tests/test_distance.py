import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhash.distance import (
    FARTHEST,
    band_keys,
    confidence,
    distance,
    farthest_for,
    is_hash,
    probe_keys,
)


@pytest.mark.parametrize(("wanted", "bits"), [(0.95, 3), (0.90, 6), (0.85, 9), (0.80, 12), (1, 0)])
def test_confidence_limits_of_the_contract(wanted, bits):
    assert farthest_for(wanted) == bits
    assert confidence(bits) >= wanted


@given(st.integers(0, 64))
def test_a_distance_has_exactly_its_own_confidence(bits):
    assert farthest_for(confidence(bits)) == bits


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=FARTHEST))
def test_the_bands_miss_nothing(value, flips):
    other = value
    for bit in flips:
        other ^= 1 << bit
    left, right = f"{value:016x}", f"{other:016x}"
    assert distance(left, right) == len(flips)
    assert set(band_keys(right)) & set(probe_keys(left, len(flips)))


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "A" * 16, "0x" + "0" * 14, None, 5])
def test_no_hash(text):
    assert not is_hash(text)
