import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.mixing.permutation import ROUNDS, SMALL, permute, stream_rows

sizes = st.one_of(st.integers(1, 12), st.integers(1, 600), st.integers(200, 5000))
seeds = st.integers(-(2**70), 2**70)


def epoch(seed, name, n, e):
    return stream_rows(seed, name, n, e * n, (e + 1) * n)


def chi_square(counts):
    """Mean 1 for a fair draw; the standard deviation is sqrt(2 / cells)."""
    counts = np.asarray(counts, dtype=float)
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum() / (counts.size - 1)


@given(seed=seeds, n=sizes, e=st.integers(0, 2**70))
@settings(max_examples=150, deadline=None)
def test_every_epoch_holds_every_row_once(seed, n, e):
    assert np.array_equal(np.sort(epoch(seed, "t", n, e)), np.arange(n))


@given(n=sizes, start=st.integers(0, 10**4), length=st.integers(0, 3000), at=st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_a_piece_of_a_piece_is_the_piece(n, start, length, at):
    at = min(at, length)
    whole = stream_rows(1, "t", n, start, start + length)
    assert whole.dtype == np.int64
    assert whole.shape == (length,)
    assert np.array_equal(whole[at:], stream_rows(1, "t", n, start + at, start + length))
    assert np.array_equal(whole[:at], stream_rows(1, "t", n, start, start + at))


@pytest.mark.parametrize("n", [SMALL - 1, SMALL, SMALL + 1, 2**40, 2**62])
def test_single_rows_are_those_of_a_long_read(n):
    start = 7 * n - 700  # across the edge of an epoch, and across two blocks
    whole = stream_rows(5, "t", n, start, start + 1400)
    singly = [stream_rows(5, "t", n, p, p + 1)[0] for p in range(start, start + 1400)]
    assert whole.tolist() == singly
    assert 0 <= min(singly) <= max(singly) < n


def test_a_long_read_does_not_depend_on_how_it_is_cut_into_chunks():
    whole = stream_rows(5, "t", 70_000, 3, 150_003)
    again = np.concatenate([stream_rows(5, "t", 70_000, p, p + 10_000) for p in range(3, 150_003, 10_000)])
    assert np.array_equal(whole, again)


def test_what_is_given_may_be_written_into():
    first = stream_rows(0, "t", 10, 0, 5)
    before = first.tolist()
    first[:] = -1
    assert stream_rows(0, "t", 10, 0, 5).tolist() == before


def test_epochs_seeds_and_names_give_different_orders():
    orders = [epoch(0, "t", 1000, e) for e in range(3)] + [epoch(1, "t", 1000, 0), epoch(0, "u", 1000, 0)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            # Independent orders agree at 1 place on average; at 9 or more with a chance of 1e-6.
            assert (one == other).sum() < 9


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_all_orders_of_a_few_rows_are_equally_likely(n):
    drawn = stream_rows(0, "orders", n, 0, 60_000 * n).reshape(-1, n)
    _, counts = np.unique(drawn @ n ** np.arange(n), return_counts=True)
    assert counts.size == math.factorial(n)
    assert chi_square(counts) < 1 + 4 * math.sqrt(2 / counts.size)


@pytest.mark.parametrize("n", [5, 6, 7, SMALL + 1])
def test_the_first_row_is_any_row_over_seeds(n):
    first = [stream_rows(seed, "t", n, 0, 1)[0] for seed in range(2000)]
    assert chi_square(np.bincount(first, minlength=n)) < 1 + 4 * math.sqrt(2 / n)


@pytest.mark.parametrize("n", [7, 101, SMALL, SMALL + 1, 1000])
def test_consecutive_epochs_and_neighbouring_positions_are_uncorrelated(n):
    epochs = 200_000 // n
    drawn = stream_rows(3, "pairs", n, 0, epochs * n).reshape(epochs, n)
    # The difference of two independent rows is uniform modulo n …
    between = (drawn[1:] - drawn[:-1]) % n
    assert chi_square(np.bincount(between.ravel(), minlength=n)) < 1 + 4 * math.sqrt(2 / n)
    # … and that of two rows of one epoch is too, but for 0.
    within = (drawn[:, 1:] - drawn[:, :-1]) % n
    counts = np.bincount(within.ravel(), minlength=n)
    assert counts[0] == 0
    assert chi_square(counts[1:]) < 1 + 4 * math.sqrt(2 / n)


def test_rows_of_a_large_task_are_spread_evenly():
    drawn = stream_rows(0, "large", 10**12, 0, 100_000)
    assert len(np.unique(drawn)) == 100_000
    assert chi_square(np.bincount(drawn // 10**10, minlength=100)) < 1.6
    assert chi_square(np.bincount(drawn % 100, minlength=100)) < 1.6


@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_the_network_is_one_to_one_for_any_size(n, key):
    keys = np.arange(ROUNDS, dtype=np.uint64)[:, None] + np.array([[key]], dtype=np.uint64)
    assert np.array_equal(np.sort(permute(np.arange(n, dtype=np.uint64), n, keys)), np.arange(n))


def test_golden_streams():
    """Frozen: a change here changes what every run and every study has trained on."""
    assert stream_rows(0, "sst2", 7, 0, 14).tolist() == [5, 2, 4, 3, 1, 0, 6, 1, 0, 6, 3, 4, 5, 2]
    assert stream_rows(42, "span", 27_480, 27_476, 27_484).tolist() == [
        27236,
        6802,
        17919,
        19643,
        20281,
        25680,
        16292,
        1665,
    ]
    assert stream_rows(-1, "mnli", 10**12, 10**13, 10**13 + 3).tolist() == [581297726133, 246727809335, 530657044101]


def test_a_million_rows_of_a_hundred_million_take_less_than_a_second():
    began = time.perf_counter()
    stream_rows(0, "t", 10**8, 5, 10**6 + 5)
    assert time.perf_counter() - began < 1  # 0.03 s on a 2024 server core


@pytest.mark.parametrize(
    ("n", "start", "stop", "message"),
    [
        (0, 0, 1, "a stream needs 1 to 2^62 rows. Got 0."),
        (2**62 + 1, 0, 1, "a stream needs 1 to 2^62 rows. Got 4611686018427387905."),
        (5, -1, 1, "positions must satisfy 0 <= start <= stop. Got start=-1, stop=1."),
        (5, 3, 2, "positions must satisfy 0 <= start <= stop. Got start=3, stop=2."),
    ],
)
def test_what_is_out_of_range_is_refused(n, start, stop, message):
    with pytest.raises(ValueError) as caught:
        stream_rows(0, "t", n, start, stop)
    assert str(caught.value) == message
