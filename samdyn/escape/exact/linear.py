"""The linear problem in one eigendirection, exactly: how far noise has carried w from a saddle.

With curvature λ, radius ρ and noise coupling as in `rates`, the step map is m⁺ = γm + aw + ξ,
w⁺ = w − ηm⁺ with Var ξ = ν, and time is t = η·steps. `sde_variance` is its continuous
limit, `map_variance` the map itself. Arguments broadcast; results are float64 arrays of E w²
from w = m = 0, in units of w². Variances that overflow are inf.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre

from ...errors import InvalidInput

COUPLINGS = ("sgd", "paper", "fresh", "same-batch", "independent")


class Rates(NamedTuple):
    """dw = −rate·w dt + √(η·noise·ν) dW: `rate` is a, `noise` is s²/(ην), per direction."""

    rate: Any
    noise: Any


def rates(coupling: str, eigenvalue: Any, rho: Any = 0.0) -> Rates:
    """Rate and noise factor of unnormalised SAM on curvature λ.

    sgd: λ, 1. paper (Theorem 2 of arXiv 2301.06308): λ(1+ρλ)², 1. The other three have the true
    rate λ(1+ρλ): fresh 1 (noise in the outer gradient only), same-batch (1+ρλ)² (one minibatch
    for both gradients, as in all practice), independent 1+ρ²λ² (two minibatches). They are
    exact for the step map on a quadratic: with one minibatch it descends (1+ρλ)(λw + ξ).
    """
    eigenvalue, rho = np.broadcast_arrays(np.asarray(eigenvalue, float), np.asarray(rho, float))
    if not np.all(rho >= 0):
        raise InvalidInput(f"rho must be ≥ 0, not {rho[~(rho >= 0)].flat[0]:g}.")
    factor, one = 1 + rho * eigenvalue, np.ones_like(eigenvalue)
    table = {
        "sgd": (eigenvalue, one),
        "paper": (eigenvalue * factor**2, one),
        "fresh": (eigenvalue * factor, one),
        "same-batch": (eigenvalue * factor, factor**2),
        "independent": (eigenvalue * factor, 1 + (rho * eigenvalue) ** 2),
    }
    if coupling not in table:
        raise InvalidInput(f"coupling must be one of {', '.join(COUPLINGS)}, not {coupling!r}.")
    return Rates(*(v[()] for v in table[coupling]))


def gradient_noise(eigenvalue: Any, batch: Any, std: Any = None) -> Any:
    """ν, the variance of the minibatch gradient: |λ|/B (Fisher), or std²/B if isotropic."""
    variance = np.abs(eigenvalue) if std is None else np.square(std) + 0 * np.asarray(eigenvalue)
    return np.asarray(variance, float) / batch


def sde_variance(a: Any, noise_variance: Any, eta: Any, t: Any, gamma: Any = 0.0) -> Any:
    """E w² at time t of the SDE; `noise_variance` is ν times the coupling's noise factor.

    gamma = 0: dw = −aw dt + √(ην) dW, ην(1−e^{−2at})/(2a). gamma > 0: dw = −m dt,
    dm = (−(1−γ)m + aw) dt/η + √(ν/η) dW. The limit γ → 0 of the latter keeps an inertia that
    lasts one step.
    """
    a, nu, eta, t, gamma = _arrays(a, noise_variance, eta, gamma, t)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        plain = nu * eta * _exponential_integral(-2 * a, t).real
        inertial = nu / eta * _kernel_integral(a, eta, t, gamma)
    return _variance(np.where(gamma == 0, plain, inertial))


def _arrays(a: Any, nu: Any, eta: Any, gamma: Any, t: Any) -> tuple[Any, ...]:
    """Checked and broadcast, as (a, ν, η, t, γ)."""
    a, nu, eta, t, gamma = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (a, nu, eta, t, gamma))
    )
    if not np.all(np.isfinite(a)):
        raise InvalidInput("the rate a must be finite.")
    if not (np.all(nu >= 0) and np.all(t >= 0)):
        raise InvalidInput("the noise variance and the time must be ≥ 0.")
    if not np.all(eta > 0):
        raise InvalidInput(f"the learning rate must be > 0, not {eta[~(eta > 0)].flat[0]:g}.")
    if not np.all((gamma >= 0) & (gamma < 1)):
        raise InvalidInput(f"momentum must lie in [0, 1), not {gamma.max():g}.")
    return a, nu, eta, t, gamma


def _variance(value: Any) -> Any:
    return np.where(np.isnan(value), np.inf, value)[()]


def _exponential_integral(x: Any, t: Any) -> Any:
    """∫₀ᵗ e^{xu} du for complex x."""
    safe = np.where(x == 0, 1, x)
    return np.where(x == 0, t, np.expm1(x * t + 0j) / safe)


def _kernel_integral(a: Any, eta: Any, t: Any, gamma: Any) -> Any:
    """∫₀ᵗ h² du, h(u) = (e^{r₊u} − e^{r₋u})/(r₊ − r₋) the response of −w to a kick of m.

    A second divided difference of ∫e^{xu}; by quadrature where the roots nearly coincide.
    """
    friction = (1 - gamma) / eta
    plus, minus = continuous_roots(a, eta, gamma)
    gap = plus - minus
    cases = (_exponential_integral(x, t) for x in (2 * plus, -friction + 0j, 2 * minus))
    first, middle, last = cases
    closed = ((first - 2 * middle + last) / gap**2).real
    end = np.minimum(t, 100 / friction)
    near = np.abs(gap) * np.minimum(t, 1 / friction) < 0.5
    nodes, weights = legendre.leggauss(128)
    u = (end[..., None] * (1 + nodes)) / 2
    half = np.where(near, gap / 2, 0)[..., None] * u
    response = u * np.exp(-friction[..., None] * u / 2) * _sinhc(half).real
    return np.where(near, response**2 @ weights * end / 2, closed)


def _sinhc(x: Any) -> Any:
    """sinh(x)/x for complex x."""
    small = np.abs(x) < 1e-4
    return np.where(small, 1 + x**2 / 6, np.sinh(x) / np.where(small, 1, x))


def continuous_roots(a: Any, eta: Any, gamma: Any) -> tuple[Any, Any]:
    """r±, the complex rates of the underdamped SDE: r² + (1−γ)r/η + a/η = 0, r₊ the slower."""
    a, eta, gamma = (np.asarray(v, float) for v in (a, eta, gamma))
    friction = (1 - gamma) / eta
    root = np.sqrt(friction**2 - 4 * a / eta + 0j)
    minus = -(friction + root) / 2
    return np.where(root.imag == 0, -(2 * a / eta) / (friction + root), minus.conj())[()], minus[()]


def escape_multiplier(a: Any, eta: Any, gamma: Any = 0.0) -> Any:
    """The factor by which the step map grows per step in the long run: its spectral radius.

    [1+γ−ηa+√((1+γ−ηa)²−4γ)]/2 for a < 0, where it exceeds 1.
    """
    a, eta, gamma = (np.asarray(v, float) for v in (a, eta, gamma))
    trace = 1 + gamma - eta * a
    root = np.sqrt(trace**2 - 4 * gamma + 0j)
    return np.maximum(np.abs(trace + root), np.abs(trace - root)) / 2


def map_variance(a: Any, noise_variance: Any, eta: Any, steps: Any, gamma: Any = 0.0) -> Any:
    """E w² after `steps` steps of the map, from P⁺ = APAᵀ + νbbᵀ doubled log₂(steps) times.

    A = [[1−ηa, −ηγ], [a, γ]], b = (−η, 1). Powers are kept as Aⁿ − 1, so that rates far
    below 1/steps lose no digits.
    """
    a, nu, eta, count, gamma = _arrays(a, noise_variance, eta, gamma, steps)
    if not np.all(count == np.floor(count)):
        raise InvalidInput("steps must be whole numbers.")
    count = count.astype(np.int64)
    power = _matrix(-eta * a, -gamma, eta * a, gamma - 1)  # acts on (w, ηm)
    kick = (eta**2 * nu)[..., None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    total = np.zeros_like(power)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for bit in range(int(count.max(initial=0)).bit_length()):
            odd = (count >> bit & 1).astype(bool)[..., None, None]
            total = np.where(odd, _carried(power, total) + kick, total)
            kick = kick + _carried(power, kick)
            power = 2 * power + power @ power
    return _variance(total[..., 0, 0])


def _matrix(*entries: Any) -> Any:
    return np.stack(entries, -1).reshape(*entries[0].shape, 2, 2)


def _carried(power: Any, covariance: Any) -> Any:
    """(1+E) P (1+E)ᵀ."""
    half = covariance + power @ covariance
    return half + half @ np.swapaxes(power, -1, -2)


def stationary_map_variance(a: Any, noise_variance: Any, eta: Any, gamma: Any = 0.0) -> Any:
    """lim E w² of the step map, ην(1+γ)/(a(1−γ)(2(1+γ)−ηa)); inf unless 0 < ηa < 2(1+γ)."""
    a, nu, eta, _, gamma = _arrays(a, noise_variance, eta, gamma, 0.0)
    stable = (a > 0) & (eta * a < 2 * (1 + gamma))
    denominator = np.where(stable, a * (1 - gamma) * (2 * (1 + gamma) - eta * a), 1)
    return np.where(stable, eta * nu * (1 + gamma) / denominator, np.inf)[()]
