"""Two-dimensional test surfaces with known critical points."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Point = Float[Array, "2"]
Scalar = Float[Array, ""]


def beale(w: Point) -> Scalar:
    """Minimum 0 at (3, ½), saddle at (0, 1); a scalar (Beale 1958)."""
    x, y = w
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def saddle(w: Point) -> Scalar:
    """x² − y²: the saddle of the demo of arXiv 2301.06308."""
    x, y = w
    return x**2 - y**2


def himmelblau(w: Point) -> Scalar:
    """Four minima of value 0, four saddles, a maximum (Himmelblau 1972)."""
    x, y = w
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def six_hump_camel(w: Point) -> Scalar:
    """Six minima, two of them global (Dixon & Szegö 1978)."""
    x, y = w
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2


def three_hump_camel(w: Point) -> Scalar:
    """Three minima, the global one at 0 (Dixon & Szegö 1975)."""
    x, y = w
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


def muller_brown(w: Point) -> Scalar:
    """Four Gaussians (one of them inverted): amplitude, shape a, b, c and centre of each."""
    x, y = w
    wells = (
        (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
        (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
        (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
        (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
    )
    return sum(
        (
            amplitude * jnp.exp(a * (x - u) ** 2 + b * (x - u) * (y - v) + c * (y - v) ** 2)
            for amplitude, a, b, c, u, v in wells
        ),
        start=jnp.zeros((), w.dtype),
    )


def monkey_saddle(w: Point) -> Scalar:
    """x³ − 3xy²: a degenerate saddle with three ways down (Hilbert & Cohn-Vossen 1932)."""
    x, y = w
    return x**3 - 3 * x * y**2


def mexican_hat(w: Point) -> Scalar:
    """(‖w‖² − 1)²/4: a circle of minima about a maximum."""
    x, y = w
    return (x**2 + y**2 - 1) ** 2 / 4


def double_well_2d(w: Point) -> Scalar:
    """(x² − 1)²/4 + y²/2: two minima, a saddle at 0."""
    x, y = w
    return (x**2 - 1) ** 2 / 4 + y**2 / 2
