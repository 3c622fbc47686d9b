"""Exact mean and variance of the time in which a one-dimensional diffusion leaves an interval.

dX = b(X) dt + s(X) dW in the sense of Itô. With the quasi-potential ψ' = −2b/s², the scale
S(x, y) = ∫ e^ψ and the speed density m = 2e^{−ψ}/s², the mean is T(x) = ∫ G(x, z) m(z) dz, where
G = S(left, min) S(max, right) / S(left, right), and the variance is ∫ G s² T'² m dz: both are
sums of positive terms. Everything is a logarithm, on Gauss–Legendre panels so short that ψ
varies by at most 2 on each. Source: Karlin & Taylor, A Second Course in Stochastic Processes,
chapter 15.3; the variance from L(T²) = 2T·LT + s²T'².
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from scipy.special import dawsn, erf, logsumexp

from ...errors import ComputationFailed, InvalidInput
from ...precision import in_double

ORDER = 16  # nodes on a panel
MOST_PANELS = 200_000
NODES, WEIGHTS = legendre.leggauss(ORDER)


def _matrices() -> tuple[np.ndarray, np.ndarray]:
    """From values at the nodes to Legendre coefficients, and to integrals from −1 to the nodes."""
    values = legendre.legvander(NODES, ORDER)
    coefficients = (np.arange(ORDER)[:, None] + 0.5) * values[:, :ORDER].T * WEIGHTS
    integrals = np.empty((ORDER, ORDER))
    integrals[:, 0] = NODES + 1
    for k in range(1, ORDER):
        integrals[:, k] = (values[:, k + 1] - values[:, k - 1]) / (2 * k + 1)
    return coefficients, integrals @ coefficients


COEFFICIENTS, FROM_LEFT = _matrices()
FROM_RIGHT = FROM_LEFT[::-1, ::-1]


class ExitTime(NamedTuple):
    """Mean, variance, and an estimate of the absolute error of the mean; mean = exp(log_mean).

    `mean` is inf where only `log_mean` fits into a float; `variance` is inf if it is infinite.
    """

    mean: float
    variance: float
    error: float
    log_mean: float


class _Field(NamedTuple):
    drift: Callable
    diffusion: Callable

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ψ', log s²) at x."""
        with np.errstate(all="ignore"):
            values = [np.asarray(f(x)) for f in self]
        for name, value in zip(self._fields, values, strict=True):
            if value.ndim and value.dtype.kind == "f" and value.dtype.itemsize < 8:
                raise InvalidInput(
                    f"the {name} returns {value.dtype}, too coarse for the quadrature: let it "
                    "compute in float64, with no array of fewer bits among its constants."
                )
        b, s = (np.asarray(value, float) + np.zeros_like(x) for value in values)
        for name, bad in (("drift", ~np.isfinite(b)), ("diffusion", ~np.isfinite(s))):
            if bad.any():
                raise InvalidInput(f"the {name} must be finite, also at x = {x[bad].flat[0]:g}.")
        if (s == 0).any():
            raise InvalidInput(
                f"the diffusion is 0 at x = {x[s == 0].flat[0]:g}: the process may never leave."
            )
        with np.errstate(all="ignore"):
            slope = -2 * b / s**2
        return slope, 2 * np.log(np.abs(s))


@in_double
def exit_time(drift: Callable, diffusion: Callable, start: Any, left: Any, right: Any) -> ExitTime:
    """The time in which dX = drift(X) dt + diffusion(X) dW (Itô) leaves (left, right) from `start`.

    One of the two ends may be infinite: the process then has to come back and leave at the
    other. `drift` and `diffusion` take and return float64 arrays of any shape.
    """
    start, left, right = float(start), float(left), float(right)
    if not left < start < right:
        raise InvalidInput(
            f"start must lie inside (left, right), not {start:g} in {left:g}, {right:g}."
        )
    if np.isinf(left) and np.isinf(right):
        raise InvalidInput("left or right must be finite, or there is nowhere to leave to.")
    field = _Field(drift, diffusion)
    if np.isinf(left):
        below, light = _outward(field, start, (start - right) / 64)
    else:
        below, light = _panels(field, np.array([left, (left + start) / 2, start])), True
    if np.isinf(right):
        above, light = _outward(field, start, (start - left) / 64)
    else:
        above = _panels(field, np.array([start, (start + right) / 2, right]))
    edges, ends = np.concatenate([below[:-1], above]), (np.isfinite(left), np.isfinite(right))
    coarse, _, _ = _moments(field, edges, len(below) - 1, ends)
    finer = np.insert(edges, np.arange(1, len(edges)), (edges[1:] + edges[:-1]) / 2)
    fine, log_variance, range_ = _moments(field, finer, 2 * (len(below) - 1), ends)
    relative = abs(np.expm1(fine - coarse)) + 1e-15 * (1 + range_)
    if relative > 1e-3:
        raise ComputationFailed("the mean time did not converge: where the noise is 0 it may be ∞.")
    with np.errstate(over="ignore"):
        mean = np.exp(fine)
        variance = np.exp(log_variance) if light else np.inf
    return ExitTime(float(mean), float(variance), float(relative * mean), float(fine))


def _at_nodes(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (panels, ORDER) and half-widths (panels, 1)."""
    half = (edges[1:] - edges[:-1])[:, None] / 2
    return edges[:-1, None] + half * (1 + NODES), half


def _panels(field: _Field, edges: np.ndarray) -> np.ndarray:
    """Bisect until ψ' and 1/s² are resolved and ψ varies by at most 2: sorted edges."""
    span = edges[-1] - edges[0]
    done, left, right = [edges[-1:]], edges[:-1], edges[1:]
    while left.size:
        if left.size + sum(map(len, done)) > MOST_PANELS:
            raise ComputationFailed(
                f"more than {MOST_PANELS} panels: the noise is too weak, vanishes inside, or drift "
                "and diffusion are not smooth in float64."
            )
        x, half = _at_nodes(np.stack([left, right], 1).ravel())
        x, width = x[::2], 2 * half[::2, 0]
        slope, log_s2 = field(x)
        speed = np.exp(log_s2.min(1, keepdims=True) - log_s2)
        steep = ~(width * np.abs(slope).max(1) <= 2)
        with np.errstate(invalid="ignore"):
            tails = [np.abs(v @ COEFFICIENTS[-2:].T).max(1) for v in (slope, speed)]
        rough = ~(tails[0] * width <= 1e-13) | ~(tails[1] <= 1e-12)
        tiny = width <= np.maximum(1e-13 * span, 8e-16 * np.abs(x).max(1))
        if (tiny & (steep | (speed.min(1) < 1e-8))).any():
            where = x[tiny].flat[0]
            raise InvalidInput(f"the drift is too strong, or the noise 0, about x = {where:.6g}.")
        split = (steep | rough) & ~tiny
        done.append(left[~split])
        middle = (left[split] + right[split]) / 2
        left, right = np.r_[left[split], middle], np.r_[middle, right[split]]
    return np.sort(np.concatenate(done))


def _outward(field: _Field, start: float, step: float) -> tuple[np.ndarray, bool]:
    """Panels from `start` towards the infinite end on the side of the sign of `step`.

    The blocks double in length until what is beyond no longer counts, for the mean and for
    the variance (second value: whether the latter is finite).
    """
    found, masses, spreads, psi = [np.array([start])], [], [], 0.0
    converged = [False, False]
    for k in range(200):
        near, far = start + step * (2.0**k - 1), start + step * (2.0 ** (k + 1) - 1)
        try:
            edges = _panels(field, np.linspace(min(near, far), max(near, far), 5))
        except (ComputationFailed, InvalidInput) as error:
            if isinstance(error, InvalidInput) and not converged[0]:
                raise
            break
        x, half = _at_nodes(edges)
        slope, log_s2 = field(x)
        height, rise = _quasi_potential(slope, half, 0 if step > 0 else len(half))
        log_m = np.log(2 * half * WEIGHTS) - log_s2 - height - psi
        psi += rise
        found.append(edges)
        masses.append(_log_sum(log_m))
        spreads.append(masses[-1] + 2 * np.log(abs(far - near)) - log_s2.min())
        converged = [len(v) > 1 and v[-1] < min(v[-2], max(v) - 37) for v in (masses, spreads)]
        if all(converged) and _thins_out(field, far, step * 2.0**k):
            break
    if not converged[0]:
        raise InvalidInput("the mean time is infinite: the process need not come back from ±inf.")
    return np.unique(np.concatenate(found)), bool(converged[1])


def _thins_out(field: _Field, far: float, step: float) -> bool:
    """Whether the speed density falls between all samples further out: no other well there."""
    x = far + step * np.geomspace(0.01, 256, 65)
    with np.errstate(all="ignore"):
        b, s = (np.asarray(f(x), float) + np.zeros_like(x) for f in (field.drift, field.diffusion))
        slope = 2 * b / s**2
        gain = (slope[1:] + slope[:-1]) / 2 * np.diff(x) - 2 * np.diff(np.log(np.abs(s)))
    return bool(np.all(~(gain > 1e-9)))


def _quasi_potential(slope: np.ndarray, half: np.ndarray, zero: int) -> tuple[np.ndarray, float]:
    """ψ at the nodes with ψ = 0 at edge `zero`, and ψ at the end that is further from it."""
    at_edges = np.r_[0.0, np.cumsum((half * slope) @ WEIGHTS)]
    at_edges -= at_edges[zero]
    height = at_edges[:-1, None] + half * (slope @ FROM_LEFT.T)
    return height, float(at_edges[0 if zero == len(half) else -1])


def _integrals(log_f: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of ∫ f from the left end to each node, and from each node to the right end."""
    top = log_f.max(1, keepdims=True)
    f = half * np.exp(log_f - top)
    panel = np.log(f @ WEIGHTS) + top[:, 0]
    before = np.r_[-np.inf, np.logaddexp.accumulate(panel)[:-1]][:, None]
    after = np.r_[np.logaddexp.accumulate(panel[::-1])[::-1][1:], -np.inf][:, None]
    parts = (np.log(np.maximum(f @ m.T, 1e-300)) + top for m in (FROM_LEFT, FROM_RIGHT))
    return np.logaddexp(before, next(parts)), np.logaddexp(after, next(parts))


def _moments(
    field: _Field, edges: np.ndarray, start: int, ends: tuple[Any, Any]
) -> tuple[float, float, float]:
    """Logarithms of mean and variance from edge number `start`, and the range of ψ."""
    x, half = _at_nodes(edges)
    slope, log_s2 = field(x)
    psi, _ = _quasi_potential(slope, half, start)
    low, high = _integrals(psi, half)
    total = np.logaddexp(low[-1, -1], high[-1, -1])
    at_low, at_high = (np.logaddexp.reduce(_panel_sums(psi, half)[s]) for s in _sides(start))
    zero = np.zeros_like(psi)
    if all(ends):
        low, at_low, rates = low - total, at_low - total, (0.0, -total)
    elif ends[1]:  # nothing is lost on the left: it counts as if infinitely far in scale
        low, at_low, rates = zero, 0.0, (0.0, -np.inf)
    else:
        high, at_high, rates = zero, 0.0, (-np.inf, 0.0)
    green = np.concatenate([low[:start] + at_high, high[start:] + at_low])
    log_m = np.log(2) - log_s2 - psi
    from_left = _integrals(log_m + low, half)[0] + rates[0]
    from_right = _integrals(log_m + high, half)[1] + rates[1]
    larger = np.maximum(from_left, from_right)
    with np.errstate(divide="ignore"):
        slope_t = np.log(np.abs(np.exp(from_left - larger) - np.exp(from_right - larger)))
    weight = np.log(half * WEIGHTS)
    mean = _log_sum(weight + green + log_m)
    variance = _log_sum(weight + green + np.log(2) + psi + 2 * (larger + slope_t))
    return float(mean), float(variance), float(np.ptp(psi))


def _log_sum(log_f: Any, axis: Any = None) -> Any:
    return logsumexp(log_f, axis=axis)


def _sides(start: int) -> tuple[slice, slice]:
    return slice(None, start), slice(start, None)


def _panel_sums(log_f: np.ndarray, half: np.ndarray) -> np.ndarray:
    return _log_sum(log_f + np.log(half * WEIGHTS), axis=1)


def saddle_exit_time(mu: Any, s: Any, L: Any) -> Any:
    """The mean time in which dX = μX dt + s dW, from 0, reaches |X| = L: exact for every μ.

    (2/μ) ∫₀^{L√μ/s} Dawson; L²/s² at μ = 0; it grows like e^{|μ|L²/s²} for a restoring μ < 0
    (inf beyond 1e308). Arrays broadcast. In one dimension only. From q = μL²/s² = 100 on the
    asymptotic series, exact to rounding there, takes over from quadrature.
    """
    mu, s, L = np.broadcast_arrays(*(np.asarray(v, float) for v in (mu, s, L)))
    if not (np.all(np.isfinite(mu)) and np.all(s > 0) and np.all(L > 0)):
        raise InvalidInput("saddle_exit_time needs a finite mu, s > 0 and L > 0.")
    q = mu * (L / s) ** 2
    far = np.maximum(q, 100.0)
    series, term = np.log(far) / 2 + np.euler_gamma / 2 + np.log(2), 1.0
    for k in range(1, 12):
        term = term * (2 * k - 1) / (2 * far)
        series = series - term / (2 * k)
    with np.errstate(over="ignore"):
        time = (L / s) ** 2 * np.where(q > 100, series / far, _mean_dawson(np.minimum(q, 100.0)))
    return time[()]


def _mean_dawson(q: Any) -> Any:
    """∫₀¹ h(qp) dp with h(q) = Dawson(√q)/√q, an entire function of q with h(0) = 1."""
    nodes, weights = legendre.leggauss(200)
    argument = q[..., None] * (1 + nodes) / 2
    root = np.sqrt(np.maximum(np.abs(argument), 1e-300))
    restoring = np.sqrt(np.pi) / 2 * np.exp(np.maximum(-argument, 0)) * erf(root)
    return (np.where(argument > 0, dawsn(root), restoring) / root) @ weights / 2
