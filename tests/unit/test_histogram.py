"""Quantiles from buckets are within their bucket, and never better than the truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import histogram
from outbox.histogram import BOUNDS, SIZE


def buckets(**counts: int) -> list[int]:
    """`buckets(_2=3)`: three in the third bucket."""
    return [counts.get(f"_{place}", 0) for place in range(SIZE)]


def test_there_is_one_bucket_more_than_bounds():
    assert SIZE == 20
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_without_mails_there_is_no_quantile():
    assert histogram.quantile(buckets(), 0.5) is None
    assert histogram.quantile(histogram.added([]), 0.99) is None


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ({"_0": 100}, 0.5, 0.05),
        ({"_0": 50, "_5": 50}, 0.5, 0.1),
        ({"_0": 50, "_5": 50}, 0.75, 0.875),
        ({"_0": 98, "_10": 2}, 0.99, 7.5),
        ({"_19": 1}, 0.5, 10800.0),
    ],
)
def test_a_quantile_is_where_it_would_be_if_its_bucket_were_even(counts, share, seconds):
    assert histogram.quantile(buckets(**counts), share) == pytest.approx(seconds)


@given(st.lists(st.integers(0, 1000), min_size=SIZE, max_size=SIZE), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_never_takes_less_time(counts, one, other):
    low, high = sorted((one, other))
    first, second = histogram.quantile(counts, low), histogram.quantile(counts, high)

    assert (first is None) == (second is None) == (sum(counts) == 0)
    assert first is None or second is None or first <= second


def test_histograms_add_up_bucket_by_bucket():
    assert histogram.added([buckets(_0=1, _3=2), buckets(_3=5)]) == buckets(_0=1, _3=7)
