"""A share of which some were seen, with its interval."""

import math

Z95 = 1.959963984540054  # of a normal law 95 % lie within so many standard deviations


def wilson_ci95(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of which `count` in `n` were seen (Wilson 1927)."""
    share, square = count / n, Z95**2
    whole = 2 * (n + square)
    centre = (2 * n * share + square) / whole
    half = Z95 / whole * math.sqrt(4 * n * share * (1 - share) + square)
    return (0.0 if count == 0 else centre - half), (1.0 if count == n else centre + half)
