"""First-passage statistics: intervals cover as often as they say, with and without censoring."""

import math

import numpy as np
import pytest
import scipy.stats

from samdyn import InvalidInput
from samdyn.escape.statistics import (
    CENSORED,
    ESCAPED,
    FAILED,
    RUNNING,
    exponential_tail,
    kaplan_meier,
    relative_half_width,
    summarize,
)

REPETITIONS = 400
ALL_OUT = {n: np.full(n, ESCAPED) for n in (8, 20, 40, 50, 200, 1000, 1500, 2000)}


def censored_exponential(rng, n, share):
    """Times with mean 1, observed until a share `share` of the law is left."""
    times, end = rng.exponential(size=n), -math.log(share)
    return np.minimum(times, end), np.where(times < end, ESCAPED, CENSORED)


def covered(interval, truth):
    low, high = interval
    return low <= truth and (high is None or truth <= high)


def assert_covers(hits, low=0.95, high=0.95):
    """The share of hits is within 3 binomial standard errors of [low, high]."""
    error = 3 * math.sqrt(0.95 * 0.05 / len(hits))
    assert low - error <= np.mean(hits) <= high + error


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("n", "draw", "mean", "lowest"),
    [
        (8, lambda rng, n: rng.exponential(size=n), 1.0, 0.95),
        (20, lambda rng, n: rng.exponential(size=n), 1.0, 0.94),
        (200, lambda rng, n: rng.gamma(5, size=n), 5.0, 0.95),
        (200, lambda rng, n: rng.exponential(np.where(rng.random(n) < 0.8, 0.3, 4)), 1.04, 0.94),
        (1500, lambda rng, n: rng.exponential(size=n), 1.0, 0.95),
    ],
)
def test_the_interval_of_the_mean_covers_without_censoring(n, draw, mean, lowest):
    rng = np.random.default_rng(n)
    hits = [
        covered(summarize(draw(rng, n), ALL_OUT[n]).mean_ci95, mean) for _ in range(REPETITIONS)
    ]
    assert_covers(hits, lowest)


@pytest.mark.thorough
@pytest.mark.parametrize("n", [20, 50, 2000])
def test_at_60_percent_censoring_the_mean_is_unbiased_and_its_interval_covers(n):
    rng = np.random.default_rng(n)
    results = [summarize(*censored_exponential(rng, n, 0.6)) for _ in range(REPETITIONS)]
    assert all(result.estimator == "time at risk per exit" for result in results)
    assert_covers([covered(result.mean_ci95, 1.0) for result in results])
    rates = np.array([1 / result.mean for result in results])
    bias = 1 / (0.4 * n)  # of a rate estimated from 0.4 n exits: of the order of one exit
    assert abs(np.mean(rates) - 1) < bias + 3 * np.std(rates) / math.sqrt(REPETITIONS)


@pytest.mark.thorough
def test_the_mean_of_exits_only_would_have_been_far_off():
    times, status = censored_exponential(np.random.default_rng(0), 100_000, 0.6)
    result = summarize(times, status)
    assert abs(result.mean - 1) < 4 / math.sqrt(result.escaped)
    assert np.mean(times[status == ESCAPED]) < 0.3
    assert result.mean == pytest.approx(np.sum(times) / np.sum(status == ESCAPED), rel=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "share"), [(40, 0.0), (40, 0.3), (200, 0.0), (200, 0.3)])
def test_the_interval_of_the_median_covers(n, share):
    rng = np.random.default_rng(n)
    hits = []
    for _ in range(REPETITIONS):
        data = censored_exponential(rng, n, max(share, 1e-300))
        hits.append(covered(summarize(*data).median_ci95, math.log(2)))
    assert_covers(hits, high=0.97)  # order statistics: a few exits more than 95 %


def test_kaplan_meier_agrees_with_a_hand_example():
    times = [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0]
    status = [1, 1, 2, 1, 2, 1, 1, 2]
    t, survival, lower, upper = kaplan_meier(times, status)
    expected = np.cumprod([7 / 8, 6 / 7, 4 / 5, 1 / 3])  # at risk: 8, 7, 5, 3
    np.testing.assert_array_equal(t, [1, 2, 3, 5])
    np.testing.assert_allclose(survival, expected, rtol=1e-14)
    greenwood = 1 / (8 * 7) + 1 / (7 * 6) + 1 / (5 * 4) + 2 / (3 * 1)
    shift = 1.959963984540054 * math.sqrt(greenwood) / abs(math.log(expected[3]))
    assert lower[3] == pytest.approx(expected[3] ** math.exp(shift), rel=1e-12)
    assert upper[3] == pytest.approx(expected[3] ** math.exp(-shift), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 1000])
def test_without_censoring_quantiles_are_those_of_the_sample(n):
    times = np.random.default_rng(n).exponential(size=n)
    result = summarize(times, np.full(n, ESCAPED))
    for q, value in result.quantiles.items():
        assert value == np.quantile(times, q, method="averaged_inverted_cdf")
    assert result.median == np.median(times)
    assert result.mean == pytest.approx(np.mean(times), rel=1e-14)
    assert result.variance == (None if n == 1 else pytest.approx(np.var(times, ddof=1), rel=1e-12))


def test_quantiles_that_censoring_hides_are_none():
    result = summarize(*censored_exponential(np.random.default_rng(1), 10_000, 0.6))
    assert result.quantiles[0.25] == pytest.approx(-math.log(0.75), rel=0.05)
    assert result.quantiles[0.5] is result.quantiles[0.95] is result.median is None
    assert result.variance is None


def test_failed_paths_are_counted_and_left_out():
    times = [1.0, 2.0, 3.0, math.nan, 0.5, 1.5]
    result = summarize(times, [ESCAPED, ESCAPED, ESCAPED, FAILED, FAILED, ESCAPED])
    assert (result.n, result.escaped, result.censored, result.failed) == (6, 4, 0, 2)
    assert result.mean == 7.5 / 4
    assert "2 failed and left out" in str(result)


def test_without_an_exit_there_is_only_a_lower_bound():
    result = summarize(np.full(10, 3.0), np.full(10, CENSORED))
    assert result.mean is result.mean_ci95 is result.median is result.tail is None
    assert result.mean_lower95 == pytest.approx(30 / 2.995732273553991, rel=1e-12)
    assert "no path escaped" in str(result)
    assert summarize([math.nan], [FAILED]).mean_lower95 is None
    assert summarize([], []).n == 0


def test_running_paths_count_as_censored():
    result = summarize([1.0, 2.0], [ESCAPED, RUNNING])
    assert (result.censored, result.mean) == (1, 3.0)


def test_the_order_of_the_paths_does_not_matter():
    times, status = censored_exponential(np.random.default_rng(2), 300, 0.1)
    order = np.random.default_rng(3).permutation(300)
    assert summarize(times, status) == summarize(times[order], status[order])
    full = np.random.default_rng(4).exponential(size=300)
    out = np.full(300, ESCAPED)
    assert summarize(full, out) == summarize(full[order], out)


@pytest.mark.thorough
@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("lattice", [None, 0.02])
def test_the_tail_of_an_exponential_is_recognised(share, lattice):
    rng = np.random.default_rng(5)
    tails = []
    for _ in range(REPETITIONS):
        times, status = censored_exponential(rng, 1000, max(share, 1e-300))
        if lattice:  # exits are seen at the end of a step
            times = np.where(status == ESCAPED, np.ceil(times / lattice) * lattice, times)
        tails.append(exponential_tail(times, status))
    assert scipy.stats.kstest([tail.p_value for tail in tails], "uniform").pvalue > 1e-3
    assert_covers([covered(tail.rate_ci95, 1.0) for tail in tails], 0.95 if not lattice else 0.94)


@pytest.mark.parametrize("law", ["uniform", "gamma"])
def test_other_tails_are_told_apart(law):
    rng = np.random.default_rng(6)
    draw = {"uniform": lambda: rng.random(500), "gamma": lambda: rng.gamma(5, size=5000)}[law]
    samples = [draw() for _ in range(50)]
    p_values = [exponential_tail(t, np.full(t.size, ESCAPED)).p_value for t in samples]
    assert max(p_values) < 1e-3


def test_censoring_of_a_rate_that_is_not_constant_is_told():
    times = np.random.default_rng(7).gamma(5, size=4000)
    status = np.where(times < 5, ESCAPED, CENSORED)
    assert "constant rate" in str(summarize(np.minimum(times, 5), status))


def test_the_relative_half_width_shrinks_as_one_over_root_n():
    rng = np.random.default_rng(8)
    assert relative_half_width(rng.exponential(size=29), np.full(29, ESCAPED)) == math.inf
    for n in (1000, 100_000):
        width = relative_half_width(rng.exponential(size=n), np.full(n, ESCAPED))
        assert width * math.sqrt(n) == pytest.approx(1.96, rel=0.1)


def test_a_dictionary_has_plain_keys():
    result = summarize([1.0, 2.0, 4.0], [1, 1, 2]).to_dict()
    assert list(result["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert set(result["tail"]) == {"rate", "rate_ci95", "start", "exits", "p_value"}


def test_input_that_cannot_be_right_is_refused():
    with pytest.raises(InvalidInput, match="negative"):
        summarize([-1.0], [ESCAPED])
    with pytest.raises(InvalidInput, match="status must be"):
        summarize([1.0], [7])
    with pytest.raises(InvalidInput, match="arrays"):
        summarize([1.0, 2.0], [ESCAPED])
    with pytest.raises(InvalidInput, match="from_quantile"):
        exponential_tail([1.0], [ESCAPED], 1.0)
