"""Is it a saddle that holds this training run, and what would release it?

`diagnose` looks at parameters as they are, near a critical point or not: the ends of the
Hessian's spectrum, the size of full and minibatch gradients, and how the mean step of the method
moves along both extreme directions. From them it says in one sentence whether the method pulls
negative curvature back.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...arguments import of_system
from ...checks import require_kind, require_one_value
from ...dynamics.methods.gd import GD
from ...dynamics.methods.method import AbstractMethod
from ...dynamics.momentum import AbstractMomentum
from ...dynamics.systems.optax_map import OptaxStepMap
from ...dynamics.systems.step_map import StepMap
from ...errors import InvalidInput
from ...growth.rates import Rate
from ...progress import telling
from ...results.provenance import recorded
from ...spectra.ends import NEGATIVE, Eigenvalue, SpectrumEnds, spectrum_ends
from ...spectra.krylov import norm
from ...spectra.products.batches import BatchedLoss
from ...spectra.products.hessian import HessianOperator, hessian
from ...spectra.radius import SpectralRadius, spectral_radius
from ...spectra.search import krylov_size
from .diagnosis import Diagnosis
from .minibatch import Along, along, step_operator
from .preconditioned import preconditioned
from .random_growth import random_growth
from .rates import escape_rate, hover, reach, window
from .stationarity import gains, signal
from .whole import whole_growth

OWN_COORDINATES = "; curvatures are per step, in the coordinates that the optimizer divides by"
HALLUCINATED = 0.01  # ‖g(w^p)‖ below this share of ‖g(w)‖
ALONG = 0.1  # of a batch's gradient: a smaller part along a vector says nothing
NO_RADIUS = SpectralRadius(math.nan, math.inf, math.inf, complex(math.nan), 0, False, True)


@of_system("StepMap(loss, method, learning_rate)")
@recorded
def diagnose(
    system: StepMap | OptaxStepMap,
    params: PyTree,
    batches: Iterable[PyTree],
    *,
    state: PyTree = None,
    weights: Any = None,
    n_batches: int | None = None,
    krylov: int | None = None,
    rtol: float = 0.01,
    max_products: int = 300,
    seed: int = 0,
    check: bool = True,
    progress: Any = None,
) -> Diagnosis:
    """What holds `params`, for a step that is taken on one batch at a time.

    `system` is a `StepMap` of a data loss: `loss(params, batch)` is a scalar, the loss of interest
    its mean over `batches`, and a step of training draws one of them; both with `weights`, one
    number > 0 a batch, by default the numbers of examples where these differ. `n_batches` are taken
    from a generator. Arithmetic is in the dtype of `params`, a pytree. Its
    momentum is heavy ball or none. Of an
    `OptaxStepMap` (AdamW, …) `state` is the optimizer's own at `params`, by default that of a run
    kept there (`preconditioned.py`): curvatures and rates are then per step, in the coordinates in
    which the optimizer is heavy ball.
    Eigenvalues are found to `rtol`, in (0, 1), with `krylov` vectors in memory and `max_products`
    Hessian products at most, the spectral radius with half as many of its own.
    Ctrl-C ends the search and judges what is known; "unresolved" is then likely.

    `InvalidInput` for settings out of range and for a loss that is no function of its parameters
    alone (see `hessian`), `ComputationFailed` where it is not finite.
    """
    require_one_value(system)
    told = ""
    if isinstance(system, OptaxStepMap):
        batches = list(batches if n_batches is None else itertools.islice(batches, n_batches))
        _without_memory(system.method)
        system, params, _ = preconditioned(system, params, batches, weights, state)
        told = OWN_COORDINATES
    require_kind(system, StepMap, "a StepMap or OptaxStepMap of a loss of (params, batch)")
    loss, method = system.loss, _without_memory(system.method)
    learning_rate, momentum = float(system.learning_rate), _gamma(system.momentum)
    with telling(progress, "eigenvalues") as tell:
        looked = None if tell is None else lambda look: tell(look.products / look.limit, "", look)
        operator = hessian(loss, params, batches, check, weights=weights, n_batches=n_batches)
        ends = spectrum_ends(
            operator, krylov_size(operator, krylov), rtol, max_products, seed, looked
        )
        radius, products = NO_RADIUS, 0
        if not ends.interrupted and not _without_jacobian(operator, method):
            step = step_operator(
                *(operator.mean, method, operator.w, learning_rate, momentum),
                *(operator.rounding, check),
            )
            size = krylov_size(step, None if krylov is None else min(krylov, step.dim))
            radius = spectral_radius(step, size, rtol, (max_products + 1) // 2, seed, looked)
            products = step.products
        found = _diagnosis(operator, method, ends, radius, learning_rate, momentum)
        whole = None
        if np.isfinite(radius.value) and radius.value > 0:
            mean = Rate(math.log(radius.value), radius.error / radius.value)
            how = (mean, learning_rate, momentum, seed)
            whole, more = whole_growth(operator, method, *how)
            products += -(-more // operator.mean.count)
        return dataclasses.replace(
            found,
            whole=whole,
            checked=found.checked + told,
            rho_now=None if told else found.rho_now,
            hvps=operator.products + products,
            memory_bytes=memory_bytes(operator, krylov_size(operator, krylov)),
        )


def _gamma(momentum: AbstractMomentum) -> float:
    """γ of the heavy ball."""
    if momentum.heavy_ball is None:
        kind = type(momentum).__name__
        raise InvalidInput(f"diagnose knows heavy-ball momentum or none, not {kind}.")
    return float(momentum.heavy_ball)


def _without_memory(method: AbstractMethod) -> AbstractMethod:
    if method.remembers:
        raise InvalidInput(
            f"diagnose judges the direction of each batch by itself, and {type(method).__name__} "
            "remembers something from step to step: judge its StepMap by stability(at=…)."
        )
    return method


def _radius(method: AbstractMethod) -> float:
    """ρ, 0 where there is no such number."""
    return 0.0 if method.radius is None else float(np.asarray(method.radius))


def _without_jacobian(operator: HessianOperator, method: AbstractMethod) -> bool:
    """A normalised ascent has no derivative where the gradient of a batch vanishes."""
    return bool(
        method.discontinuous
        and (method.radius is None or _radius(method) > 0)
        and operator.batch_gradient_norm == 0
    )


def _diagnosis(operator, method, ends, radius, learning_rate, momentum) -> Diagnosis:
    """Everything that follows from the spectrum; the costs are left at 0."""
    rho, negative = _radius(method), None
    if ends.curvature == NEGATIVE:
        negative = ends.low.value
    known = not _without_jacobian(operator, method)
    seen = [
        _along(operator, method, end) if known and not ends.interrupted else None
        for end in (ends.low, ends.high)
    ]
    low_reach, high_reach = (
        _reach(operator, method, end, part)
        for end, part in zip((ends.low, ends.high), seen, strict=True)
    )
    weights = np.asarray(operator.mean.weights, float)
    plain, falls = None, None
    if negative is not None and not ends.interrupted:
        plain = seen[0] or _along(operator, GD(), ends.low)
    bottom, top, plain_bottom = (
        None if a is None else random_growth(a, weights, learning_rate, momentum)
        for a in (
            *(None if part is None else part.tangent for part in seen),
            None if plain is None else plain.curvature,
        )
    )
    if plain is not None and negative is not None:
        slopes = plain.gradient
        noise = float(weights @ (slopes - weights @ slopes) ** 2)
        falls = gains(operator, negative, noise, learning_rate, method.discontinuous)
    told = signal(operator) if falls is not None and falls.away(None) else None
    # a method without a radius is asked what SAM would do
    no_radius = method.ascent == "none" or rho == 0
    units = [1 / operator.batch_gradient_norm if operator.batch_gradient_norm > 0 else math.inf] * 2
    if not no_radius:
        units = [low_reach / rho, high_reach / rho]
    if method.discontinuous:
        low_reach = min(low_reach, hover(ends.high.value, learning_rate, momentum))
    gradient_norm = float(np.linalg.norm(np.asarray(operator.gradient, float)))
    at_ascent = float(_at_ascent(operator.mean, method, operator.w))
    return Diagnosis(
        dim=operator.dim,
        loss=operator.loss,
        gradient_norm=gradient_norm,
        batch_gradient_norm=operator.batch_gradient_norm,
        perturbed_gradient_norm=at_ascent,
        batches=operator.mean.count,
        weighing=operator.weighing,
        checked=operator.checked,
        whole=None,
        bottom=bottom,
        plain_bottom=plain_bottom,
        top=top,
        gains=falls,
        signal=told,
        ends=ends,
        rho=rho,
        normalised=method.discontinuous,
        rho_eff=low_reach,
        rho_now=None if negative is None else operator.batch_gradient_norm / -negative,
        rho_window=window(negative, ends.high.value, learning_rate, momentum, units),
        escape_rate=(
            None if negative is None else escape_rate(negative, low_reach, learning_rate, momentum)
        ),
        spectral_radius=radius,
        hallucinated=_is_hallucinated(operator, ends, gradient_norm, at_ascent),
        learning_rate=float(learning_rate),
        momentum=float(momentum),
        hvps=0,
        memory_bytes=0,
    )


def memory_bytes(operator: HessianOperator, krylov: int) -> int:
    """An estimate of what the eigenvalue search holds: the basis, some vectors, one product."""
    return (krylov + 7) * operator.dim * operator.dtype.itemsize + operator.memory_bytes


def _along(operator: HessianOperator, method: AbstractMethod, end: Eigenvalue) -> Along:
    with operator.precision():
        v = jnp.asarray(end.vector, operator.dtype)
        return along(operator.mean, method, operator.w, v)


def _reach(
    operator: HessianOperator,
    method: AbstractMethod,
    end: Eigenvalue,
    seen: Along | None,
) -> float:
    """ρ_eff along an eigenvector: how far the mean ascent goes for each unit of gradient there.

    Where the gradient has a part along the vector, it is asked whether the step points back; else
    whether a displacement from here would grow.
    """
    if _without_jacobian(operator, method):
        return math.inf
    if method.ascent == "none":
        return 0.0
    seen = _along(operator, method, end) if seen is None else seen
    weights = np.asarray(operator.mean.weights, float)
    tangent, descent, gradient = (float(weights @ part) for part in seen[:3])
    error = operator.error(abs(end.value))
    here = reach(end.value, tangent, error)
    if abs(gradient) <= ALONG * operator.batch_gradient_norm:
        return here
    return max(here, reach(end.value, end.value * descent / gradient, error))


@eqx.filter_jit
def _at_ascent(mean: BatchedLoss, method: AbstractMethod, w: jax.Array) -> jax.Array:
    """‖g(w^p)‖ of the full loss."""
    full = jax.grad(mean)
    return norm(full(method.perturb(full, w)))


def _is_hallucinated(
    operator: HessianOperator, ends: SpectrumEnds, here: float, there: float
) -> bool:
    """Whether the gradient vanishes at w^p, within rounding or a hundredth, and not at w."""
    largest = max(abs(ends.low.value), abs(ends.high.value))
    noise = operator.error(largest * float(jnp.linalg.norm(operator.w)))
    return here > 10 * noise and there < max(HALLUCINATED * here, noise)
