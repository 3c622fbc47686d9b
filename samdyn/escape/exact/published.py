"""Escape and displacement formulas exactly as their sources print them, and where each fails.

Compare them with the exact `linear`, `exit_time_1d` and `kolmogorov`. Time is t = η·steps;
loss barriers are differences of loss; D is half the square of the noise: dX = −∇L dt + √(2D) dW.
"""

from typing import Any

import numpy as np

from ...errors import InvalidInput


def kim_theorem_2(eigenvalue: Any, rho: Any, t: Any, eta: Any, batch: Any) -> Any:
    """σ² = η|λ|/(2Bλ(1+ρλ)²)·[1 − e^{−2λ(1+ρλ)²t}], the displacement of SAM from a critical point.

    Source: Kim, Park, Choi & Lee, arXiv 2301.06308, Theorem 2. Assumes a quadratic loss, gradient
    noise |λ|/B evaluated outside the perturbation, and the drift λ(1+ρλ)²w of the *gradient of
    the perturbed loss*. SAM drops that Jacobian: its rate is λ(1+ρλ), so at λ < 0 and ρ|λ| > 1
    the truth saturates where this grows exponentially (`linear.rates("fresh", …)`), and with
    one minibatch for both gradients the noise is (1+ρλ)² times as large too ("same-batch").
    """
    eigenvalue, rho, t = (np.asarray(v, float) for v in (eigenvalue, rho, t))
    rate = eigenvalue * (1 + rho * eigenvalue) ** 2
    return eta * np.abs(eigenvalue) / batch * _saturation(rate, t)


def kim_corollary(eigenvalue: Any, rho: Any, t: Any, eta: Any, batch: Any) -> Any:
    """Δ_SGD − Δ_SAM = 2ηt²|λ|³ρ/B, by how much less SAM moves from a saddle, to leading order.

    Source: arXiv 2301.06308, corollary of Theorem 2. First order in ρ of Theorem 2 at small t,
    for λ < 0. The order in t is that of noise outside the perturbation; the coefficient for
    SAM's true drift is half of it. With one minibatch for both gradients the difference is of
    first order in t, η|λ|²ρ(2−ρ|λ|)t/B: larger by 1/(|λ|t).
    """
    return 2 * eta * np.square(t) * np.abs(eigenvalue) ** 3 * rho / batch


def kim_theorem_3(
    eigenvalue: Any, rho: Any, t: Any, eta: Any, batch: Any, gamma: Any, exponent: Any = None
) -> Any:
    """C₁(1−e^{−C₂(1−γ)})²/((1−γ)³B) + C₃(1−e^{−C₄/(1−γ)})/((1−γ)B), with heavy-ball momentum γ.

    Source: arXiv 2301.06308, Theorem 3; C₁ = η²|λ|/2, C₃ = η|λ|/(2λ(1+ρλ)²),
    C₄ = 2λ(1+ρλ)²t. The exponent C₂ is printed η/t; the step count t/η is meant and is used,
    unless another `exponent` is given. The first term is the drift of an initial momentum in
    its stationary law, the second the overdamped limit. Right to leading order for
    t ≫ η/(1−γ), as long as η|a| ≪ (1−γ)² and, with a = λ(1+ρλ)² < 0, 2ηa²t ≪ (1−γ)³: beyond
    that it grows exponentially faster than the truth. For t ≪ η/(1−γ) it starts as ηνt/(1−γ)²,
    ν = |λ|/B, where the truth from rest is νt³/(3η), less by inertia. The drift is Theorem 2's.
    """
    eigenvalue, rho, t, gamma = (np.asarray(v, float) for v in (eigenvalue, rho, t, gamma))
    noise, rate = np.abs(eigenvalue) / batch, eigenvalue * (1 + rho * eigenvalue) ** 2
    c2 = t / eta if exponent is None else np.asarray(exponent, float)
    kick = eta**2 * noise / 2 * np.expm1(-c2 * (1 - gamma)) ** 2 / (1 - gamma) ** 3
    return kick + eta * noise * _saturation(rate, t / (1 - gamma)) / (1 - gamma)


def _saturation(rate: Any, t: Any) -> Any:
    """(1 − e^{−2at})/(2a), t at a = 0."""
    safe = np.where(rate == 0, 1, rate)
    with np.errstate(over="ignore"):
        return np.where(rate == 0, t, -np.expm1(-2 * rate * t) / (2 * safe))[()]


def kramers(minimum: Any, maximum: Any, barrier: Any, D: Any) -> Any:
    """2π/√(L″(a)|L″(b)|)·e^{ΔL/D}, the mean time from one well to the other in one dimension.

    `minimum` = L″ > 0 at the minimum a, `maximum` = L″ < 0 at the barrier b. Sources: Kramers
    1940; the overdamped (Smoluchowski) limit. For D ≪ ΔL, errors O(D/ΔL); reaching the barrier
    itself takes half as long. Double well x⁴/4 − x²/2 at D = 0.1: 54.13, where 66.27 is exact.
    """
    return eyring_kramers(
        np.asarray(minimum)[..., None, None], np.asarray(maximum)[..., None, None], barrier, D
    )


def eyring_kramers(minimum: Any, saddle: Any, barrier: Any, D: Any) -> Any:
    """(2π/|λ₁|)·√(|det H_b|/det H_a)·e^{ΔL/D}, the mean time from one well to the other.

    `minimum` (…, d, d) is the Hessian H_a, `saddle` the Hessian H_b with the one negative
    eigenvalue λ₁. Source: Bovier, Eckhoff, Gayrard & Klein 2004. Assumes a gradient drift,
    isotropic noise of constant strength, one lowest saddle, and D ≪ ΔL; SAM's drift is no
    gradient, and its noise neither isotropic nor constant.
    """
    at_minimum, at_saddle = (np.linalg.eigvalsh(np.asarray(v, float)) for v in (minimum, saddle))
    if not np.all(at_minimum > 0):
        raise InvalidInput("the Hessian at the minimum must have positive eigenvalues only.")
    if not (np.all(at_saddle[..., 0] < 0) and np.all(at_saddle[..., 1:] > 0)):
        raise InvalidInput("the Hessian at the saddle must have exactly one negative eigenvalue.")
    ratio = np.abs(at_saddle).prod(-1) / at_minimum.prod(-1)
    with np.errstate(over="ignore"):
        return 2 * np.pi / -at_saddle[..., 0] * np.sqrt(ratio) * np.exp(np.asarray(barrier) / D)


def xie_sgd_escape(
    minimum: Any, saddle: Any, barrier: Any, eta: Any, batch: Any, s: Any = 0.5
) -> Any:
    """τ = 2π/|H_be|·exp[(2BΔL/η)(s/H_ae + (1−s)/|H_be|)], SGD's mean escape time from a minimum.

    H_ae > 0 and H_be < 0 are the Hessian's eigenvalues along the escape direction e at the
    minimum and at the saddle; s in (0, 1) is the fraction of the barrier climbed before the
    noise changes from its value at the minimum to that at the saddle, and is *not* predicted.
    Source: Xie, Sato & Sugiyama, arXiv 2002.03495. Assumes D = η|H|/(2B), piecewise constant
    and small (ΔL ≫ D), one most probable path along e, and a Boltzmann law in the well. The
    prefactor is that of noise evaluated at the end of a step; in the Itô sense, in which SGD
    evaluates it, the integrals give 2π/H_ae. With D = η|L″|/(2B) taken at every x, and not in
    two pieces, the noise vanishes at the inflection point and a one-dimensional well is never
    left once the noise is small.
    """
    minimum, saddle, s = (np.asarray(v, float) for v in (minimum, saddle, s))
    if not (np.all(minimum > 0) and np.all(saddle < 0) and np.all((s >= 0) & (s <= 1))):
        raise InvalidInput("xie_sgd_escape needs minimum > 0, saddle < 0 and s in [0, 1].")
    height = 2 * np.asarray(batch) * barrier / eta * (s / minimum + (1 - s) / -saddle)
    with np.errstate(over="ignore"):
        return 2 * np.pi / -saddle * np.exp(height)


def saddle_logarithm(mu: Any, s: Any, L: Any) -> Any:
    """(1/μ)[ln(L√μ/s) + (γ_E + 2 ln 2)/2], the time from an unstable point to |X| = L as s → 0.

    For dX = μX dt + s dW in one dimension, γ_E = 0.5772…; s = 0.1, μ = L = 1: 3.2843, exact
    3.2818. The constant is the expansion of `saddle_exit_time`; the law 1/μ·ln(1/s) without it
    is Kifer 1981. The next term is −s²/(4μ²L²); worthless once s is of the order of L√μ, and
    there is no such law for μ ≤ 0.
    """
    mu, s, L = (np.asarray(v, float) for v in (mu, s, L))
    if not (np.all(mu > 0) and np.all(s > 0) and np.all(L > 0)):
        raise InvalidInput("saddle_logarithm needs mu, s and L > 0.")
    return (np.log(L * np.sqrt(mu) / s) + np.euler_gamma / 2 + np.log(2)) / mu
