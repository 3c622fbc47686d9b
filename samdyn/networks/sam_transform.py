"""SAM, USAM and ASAM around any optax optimizer: it is given the gradient at w^p instead of at w.

Where w^p lies is said by a perturbation of `samdyn.dynamics.perturbation`, the same that Flow and
StepMap take. The step itself is the optimizer's own, from w.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from ..dynamics.perturbation import GD, AbstractPerturbation, require_perturbation
from ..errors import InvalidInput


class SAMState(NamedTuple):
    """What `sam` remembers: arrays only, of one structure for ever.

    `count` is the number of finished steps and `base` the state of the optimizer. The last two
    are for the transparent mode: `perturbed` is True between its two calls, when the parameters
    are w^p. `kept`, a pytree like w, then is w itself, and otherwise w minus the parameters: what
    the last addition rounded away. In the opaque mode they are False and None.
    """

    count: jax.Array
    base: PyTree
    perturbed: jax.Array
    kept: PyTree


def sam(
    base: optax.GradientTransformation | optax.MultiSteps,
    perturbation: AbstractPerturbation,
    rho: Any = None,
    *,
    transparent: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, descending the gradient at the perturbed point w^p.

        optimizer = samdyn.optax.sam(optax.adam(1e-3), samdyn.SAM(0.05))
        updates, state = optimizer.update(grads, state, w, grad_fn=jax.grad(loss))

    `base` is the optimizer; weight decay and clipping belong into it, so that they act on the
    gradient at w^p. `perturbation` says where w^p lies (SAM, USAM, ASAM, MultiStep, your own).
    `rho`, a number or a schedule of the number of finished steps, replaces its radius; a schedule
    recompiles nothing, and compiled code does not check that it stays ≥ 0. Radius 0 gives the
    updates of `base` to the last bit. The parameters are any pytree of floating-point arrays;
    w^p = w where the gradient of SAM or ASAM vanishes. Around `optax.MultiSteps` a step is a call,
    and the gradients accumulated are those at the w^p of each call.

    **Opaque**, the default: `grads` is the gradient at w, and the one at w^p is asked from
    `grad_fn`, a function of w, or of w and a number as in `optax.contrib.sam` (always 0 here).
    Over devices `grad_fn` averages for itself. Where the radius is 0 it is not called at all.
    Other extra arguments go to `base`.

    **Transparent**: two calls of `update`, each with the gradient where the parameters are. The
    first moves them to w^p, the second to w⁺ = w + (update of `base`). Both by addition, which
    cannot reach every number: w⁺ = 1e-20 is out of reach from w^p = 0.1. What holds: parameters
    become the closest number that one addition reaches, within one rounding error of the larger
    of |w^p| and |w⁺|, and `parameters + state.kept` is w⁺ exactly, up to the sign of a zero. The
    next step begins from that sum, so these errors never add up.

    Raises `InvalidInput` for a negative radius, for parameters without floats or absent, for a
    missing `grad_fn`, and for perturbations that one gradient at w does not serve: those with a
    descent direction of their own, and in the transparent mode MultiStep.

    Source: Foret, Kleiner, Mobahi & Neyshabur, arXiv 2010.01412.
    """
    optimizer = check_parts(base, perturbation)
    if rho is not None and not callable(rho):
        perturbation, rho = perturbation.at_radius(rho), None
    _check_radius(perturbation.radius)
    step = _transparent if transparent else _opaque

    def init(params):
        require_floats(params, "sam")
        # −0 is what leaves every number as it is when added, −0 included
        kept = jax.tree.map(lambda w: jnp.full_like(w, -0.0), params) if transparent else None
        return SAMState(jnp.zeros((), jnp.int32), optimizer.init(params), jnp.asarray(False), kept)

    def update(updates, state, params=None, *, grad_fn=None, **extra):
        if params is None:
            raise InvalidInput("sam needs the parameters: call update(grads, state, params).")
        now = perturbation if rho is None else perturbation.at_radius(rho(state.count))
        params = jax.tree.map(jnp.asarray, params)
        return step(optimizer, now, updates, state, params, grad_fn, extra)

    return optax.GradientTransformationExtraArgs(init, update)


def _opaque(base, perturbation, grads, state, w, grad_fn, extra):
    if grad_fn is None:
        raise InvalidInput(
            "sam needs grad_fn, the gradient as a function of the parameters: give it to update, "
            "or choose transparent=True."
        )
    ask = _of_parameters_alone(grad_fn)

    def gradient(v):
        return grads if v is w else ask(v)

    def perturbed():
        return gradient(perturbation.perturb(gradient, w))

    radius = 0.0 if isinstance(perturbation, GD) else perturbation.radius
    # a fixed radius of 0 compiles to the optimizer alone
    d = branch(radius == 0, lambda: grads, perturbed)
    updates, after = base.update(d, state.base, w, **extra)
    return updates, state._replace(count=optax.safe_increment(state.count), base=after)


def _transparent(base, perturbation, grads, state, params, grad_fn, extra):
    del grad_fn
    perturbed, remembered = state.perturbed, state.kept
    w = jax.tree.map(lambda p, k: jnp.where(perturbed, k, p + k), params, remembered)

    def ascend():
        return perturbation.perturb(lambda v: _only_at(w, v, grads), w), state.base

    def descend():
        updates, after = base.update(grads, state.base, w, **extra)
        return jax.tree.map(lambda u, x: u.astype(x.dtype), updates, w), after

    # Compilers fuse a product with the sum after it and round once. What leaves a branch is
    # stored, so from here on every addition rounds as written.
    found, after = branch(perturbed, descend, ascend)
    goal = jax.tree.map(lambda x, y: jnp.where(perturbed, x + y, y), w, found)
    updates = jax.tree.map(
        # where nothing was perturbed, the optimizer's own update
        lambda g, p, x, u: jnp.where(perturbed & (p == x), u, _way(g, p)),
        *(goal, params, w, found),
    )
    arrived = optax.apply_updates(params, updates)
    kept = jax.tree.map(lambda g, p, x: jnp.where(perturbed, _way(g, p), x), goal, arrived, w)
    count = jnp.where(perturbed, optax.safe_increment(state.count), state.count)
    return updates, SAMState(count, after, ~perturbed, kept)


def _way(goal, start):
    """u for which start + u is as close to `goal` as one addition comes; −0 for no way at all.

    The plain difference is that u: the neighbours of its rounded value come no closer.
    """
    u = goal - start
    return jnp.where(goal == start, jnp.full_like(u, -0.0), u)


def _only_at(w, v, grads):
    if v is not w:
        raise InvalidInput(
            "this perturbation takes gradients away from w, for which the transparent mode has no "
            "call of update: use the opaque mode."
        )
    return grads


def _of_parameters_alone(grad_fn: Callable) -> Callable:
    """`grad_fn` as a function of w: a second argument that it cannot do without is given 0."""
    try:
        parameters = inspect.signature(grad_fn).parameters.values()
    except (TypeError, ValueError):  # a callable that does not tell
        return grad_fn
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return (lambda w: grad_fn(w, 0)) if len(required) == 2 else grad_fn


def check_parts(base: Any, perturbation: Any) -> optax.GradientTransformationExtraArgs:
    """`base` as an optimizer; `InvalidInput` unless one gradient at w^p makes its step."""
    optimizer = as_optimizer(base, "sam")
    require_perturbation(perturbation)
    own = type(perturbation).direction is not AbstractPerturbation.direction
    if own and not isinstance(perturbation, GD):
        kind = type(perturbation).__name__
        raise InvalidInput(f"sam descends the gradient at w^p, which {kind} does not.")
    return optimizer


def as_optimizer(given: Any, who: str) -> optax.GradientTransformationExtraArgs:
    """`given`, an object with `init` and `update`, so that its update takes any extra argument.

    `optax.with_extra_args_support` alone would discard those that `optax.MultiSteps` hands on.
    """
    alike = all(callable(getattr(given, name, None)) for name in ("init", "update"))
    if isinstance(given, type) or not alike:
        kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise InvalidInput(f"{who} wraps an optax optimizer, not {kind}.")
    init, update = given.init, given.update
    if isinstance(given, optax.GradientTransformationExtraArgs) or _takes_keywords(update):
        return optax.GradientTransformationExtraArgs(init, update)
    return optax.with_extra_args_support(optax.GradientTransformation(init, update))


def _takes_keywords(function: Callable) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a callable that does not tell
        return False
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _check_radius(radius: Any) -> None:
    if jnp.shape(radius) != ():
        raise InvalidInput(f"sam takes one radius, not an array of shape {jnp.shape(radius)}.")


def branch(condition: Any, yes: Callable, no: Callable) -> Any:
    """`jax.lax.cond`; where the condition is known, plain Python, which has nothing to compile."""
    if isinstance(condition, jax.core.Tracer):
        return jax.lax.cond(condition, yes, no)
    return yes() if condition else no()


def require_floats(params: PyTree, who: str) -> None:
    """`InvalidInput` unless `params` has leaves and all of them are floating-point arrays."""
    kinds = [_kind(leaf) for leaf in jax.tree.leaves(params)]
    strangers = [name for name, is_float in kinds if not is_float]
    if strangers or not kinds:
        raise InvalidInput(
            f"{who} needs parameters that are floating-point arrays, not "
            f"{strangers[0] if strangers else 'none'}: of a module take "
            "eqx.filter(module, eqx.is_inexact_array)."
        )


def _kind(leaf: Any) -> tuple[str, bool]:
    """(its dtype or type, whether that is floating-point)."""
    try:
        dtype = jnp.result_type(leaf)
    except TypeError:
        return type(leaf).__name__, False
    return dtype.name, bool(jnp.issubdtype(dtype, jnp.floating))
