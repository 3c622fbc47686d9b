"""Is it a saddle that holds this training run, and what would release it?

`diagnose` looks at parameters as they are, near a critical point or not: the ends of the
Hessian's spectrum, the size of full and minibatch gradients, and where the ascent of the method
lands. From them it says in one sentence whether the method pulls negative curvature back.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..dynamics import tree
from ..dynamics.perturbation import AbstractPerturbation
from ..dynamics.step_map import StepMap
from ..spectra.batches import BatchedLoss
from ..spectra.ends import NEGATIVE, spectrum_ends
from ..spectra.hessian import HessianOperator, hessian
from ..spectra.radius import spectral_radius, step_operator
from ..spectra.search import Progress, krylov_size
from .diagnosis import Diagnosis
from .rates import escape_rate, window

HALLUCINATED = 0.01  # ‖g(w^p)‖ below this share of ‖g(w)‖


def diagnose(
    loss: Callable[[PyTree, PyTree], Any],
    params: PyTree,
    batches: Sequence[PyTree],
    perturbation: AbstractPerturbation,
    learning_rate: float,
    momentum: float = 0.0,
    *,
    krylov: int | None = None,
    rtol: float = 0.01,
    max_products: int = 300,
    seed: int = 0,
    check: bool = True,
    progress: Progress | None = None,
) -> Diagnosis:
    """What holds `params`, for a method that steps on one batch at a time.

    `loss(params, batch)` is a scalar, the loss of interest its mean over `batches`; arithmetic is
    in the dtype of `params`. Eigenvalues are found to `rtol` with `krylov` vectors in memory.
    See `hessian` for what `check` refuses.
    """
    operator = hessian(loss, params, batches, check)
    size = krylov_size(operator, krylov)
    ends = spectrum_ends(operator, size, rtol, max_products, seed, progress)
    step_map = StepMap(operator.mean, perturbation, learning_rate, momentum or None)
    step = step_operator(step_map, step_map.init(operator.w))
    radius = spectral_radius(
        step,
        min(size, step.dim),
        rtol,
        max_products=max_products // 2,
        seed=seed,
        progress=progress,
    )
    reach, at_ascent = _ascents(operator.mean, perturbation, operator.w)
    gradient_norm = float(jnp.linalg.norm(operator.gradient))
    rho_eff = float(reach)
    negative = ends.low.value if ends.curvature == NEGATIVE else None
    batch_norm = operator.batch_gradient_norm
    unit = batch_norm if perturbation.discontinuous else 1.0  # of ρ_eff in terms of ρ
    low, high = window(negative, ends.high.value, learning_rate, momentum)
    scale = lambda end: None if end is None else end * unit  # noqa: E731
    return Diagnosis(
        dim=operator.dim,
        loss=operator.loss,
        gradient_norm=gradient_norm,
        batch_gradient_norm=batch_norm,
        perturbed_gradient_norm=float(at_ascent),
        ends=ends,
        rho=float(np.asarray(perturbation.radius)),
        rho_eff=rho_eff,
        rho_now=None if negative is None else batch_norm / -negative,
        rho_window=(scale(low), scale(high)),
        escape_rate=(
            None if negative is None else escape_rate(negative, rho_eff, learning_rate, momentum)
        ),
        spectral_radius=radius,
        hallucinated=_is_hallucinated(operator, gradient_norm, float(at_ascent)),
        normalised=perturbation.discontinuous,
        learning_rate=float(learning_rate),
        hvps=operator.products + step.products,
        memory_bytes=memory_bytes(operator, size),
    )


def memory_bytes(operator: HessianOperator, krylov: int) -> int:
    """An estimate of what the eigenvalue search holds: the basis, some vectors, one product."""
    return (krylov + 7) * operator.dim * operator.dtype.itemsize + operator.memory_bytes


@eqx.filter_jit
def _ascents(mean: BatchedLoss, perturbation: AbstractPerturbation, w: jax.Array):
    """(ρ_eff: root mean square over the batches of ‖w^p − w‖/‖g‖, ‖g(w^p)‖ of the full loss).

    Where a gradient vanishes a normalised ascent goes infinitely far for its size.
    """
    at_zero = jnp.where((perturbation.radius > 0) & perturbation.discontinuous, jnp.inf, 0.0)

    def one(batch):
        gradient = jax.grad(lambda v: mean.loss(v, batch))
        moved = perturbation.perturb(gradient, w) - w
        square = tree.squared_norm(gradient(w))
        ratio = tree.squared_norm(moved) / jnp.where(square > 0, square, 1)
        return jnp.where(square > 0, ratio, at_zero.astype(ratio.dtype))

    reach = jnp.sqrt(jnp.mean(jax.lax.map(one, mean.stacked)))
    full = jax.grad(mean)
    return reach, jnp.linalg.norm(full(perturbation.perturb(full, w)))


def _is_hallucinated(operator: HessianOperator, here: float, there: float) -> bool:
    """Whether the gradient vanishes at w^p, within rounding or a hundredth, and not at w."""
    noise = operator.error(float(jnp.linalg.norm(operator.w)))
    return here > 10 * noise and there < max(HALLUCINATED * here, noise)
