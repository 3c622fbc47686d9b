"""A share of which some were seen, with its interval."""

from scipy.stats import binomtest


def wilson_ci95(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of which `count` in `n` were seen (Wilson 1927)."""
    low, high = binomtest(count, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(low), float(high)
