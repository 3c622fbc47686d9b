"""SAM, USAM and ASAM around any optax optimizer: it is given the gradient at w^p instead of at w.

Where w^p lies is said by a perturbation of `samdyn.dynamics.methods.method`, the same that Flow and
StepMap take. The step itself is the optimizer's own, from w.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ...dynamics.methods.method import AbstractMethod, require_method
from ...dynamics.tree import has_16_bits, number
from ...errors import InvalidInput

NUMBERS = ("i", "j", "k", "n", "t", "index", "number", "count", "step", "iteration")  # of a step


class AscentState(NamedTuple):
    """What `sam` remembers: arrays only, of one structure for ever.

    `count` is the number of finished steps, `base` the state of the optimizer, `memory` what the
    method remembers (None for most). The other two are for the transparent mode: `perturbed` is
    True between its two calls, when the parameters are w^p. `kept`, a pytree like w, then is w
    itself, and otherwise w minus the parameters: what the last addition rounded away. In the opaque
    mode they are False and None.
    """

    count: jax.Array
    base: PyTree
    perturbed: jax.Array
    kept: PyTree
    memory: PyTree = None


def sam(
    base: optax.GradientTransformation | optax.MultiSteps,
    method: AbstractMethod,
    rho: Any = None,
    *,
    mask: PyTree = None,
    transparent: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer, descending the gradient at the perturbed point w^p.

        optimizer = samdyn.optax.sam(optax.adam(1e-3), samdyn.SAM(0.05))
        updates, state = optimizer.update(grads, state, w, grad_fn=jax.grad(loss))

    `base` is the optimizer; weight decay and clipping belong into it, so that they act on the
    gradient at w^p. `method` says where w^p lies (SAM, USAM, ASAM, MultiStep, your own).
    `rho`, a number or a schedule of the number of finished steps, replaces its radius; a schedule
    recompiles nothing, and compiled code does not check that it stays ≥ 0. Radius 0 gives the
    updates of `base` to the last bit. The parameters are any pytree of floating-point arrays;
    w^p = w where the gradient of SAM or ASAM vanishes.

    **A part of the parameters**: `mask`, a pytree of booleans like the parameters or the beginning
    of one, is True where the ascent moves them; its norm is that of this part. Everything descends
    the gradient at w^p. `optax.masked` and `optax.multi_transform` around `sam` can't do it: they
    show it a part of the parameters, and `grad_fn` needs all. They belong inside, in `base`.

    **Several micro-batches in a step**: `sam(optax.MultiSteps(base, k), …)` is right, one call for
    each, and the gradients accumulated are those at the w^p of each call. The other way round,
    `optax.MultiSteps(sam(…), k)`, is right only with a `grad_fn` of the mean loss: with that of the
    call, the step would descend the last micro-batch alone. The transparent mode, which has no
    `grad_fn`, is right outside too: k calls accumulate at w, the next k at w^p.

    **16 bits**: the ascent of parameters in float16 or bfloat16 is made in float32, and `grad_fn`
    is asked at a float32 w^p, since 16 bits would round a small ascent away. A loss that rounds
    its parameters to 16 bits itself loses it all the same. Updates keep the dtype of `grads`.

    **Opaque**, the default: `grads` is the gradient at w, and the one at w^p is asked from
    `grad_fn`, a function of w, or of w and a number as in `optax.contrib.sam` (always 0 here). It
    returns a gradient like the parameters and nothing else: of a loss with auxiliary output,
    `lambda w: jax.grad(loss, has_aux=True)(w)[0]`. Over devices `grad_fn` averages for itself.
    Where the radius is 0 it is not called at all.
    Other extra arguments go to `base`.

    **Transparent**: two calls of `update`, each with the gradient where the parameters are. The
    first moves them to w^p, the second to w⁺ = w + (update of `base`). Both by addition, which
    cannot reach every number: w⁺ = 1e-20 is out of reach from w^p = 0.1. What holds: parameters
    become the closest number that one addition reaches, within one rounding error of the larger
    of |w^p| and |w⁺|, and `parameters + state.kept` is w⁺ exactly, up to the sign of a zero. The
    next step begins from that sum, so these errors never add up.

    Raises `InvalidInput` for a negative radius, for parameters without floats or absent, for a
    missing `grad_fn` or one that returns something else, for a mask of another structure, for
    perturbations that one gradient at w does not serve (those with a descent direction of their
    own, and in the transparent mode MultiStep), and for 16 bits in the transparent mode, whose
    parameters could not hold w^p.

    Source: Foret, Kleiner, Mobahi & Neyshabur, arXiv 2010.01412.
    """
    optimizer = check_parts(base, method)
    if rho is not None and not callable(rho):
        method, rho = method.at_radius(rho), None
    _check_radius(0.0 if method.radius is None else method.radius)
    step = _transparent if transparent else _opaque

    def init(params):
        require_floats(params, "sam")
        if transparent:
            _require_room(params)
        # −0 is what leaves every number as it is when added, −0 included
        kept = jax.tree.map(lambda w: jnp.full_like(w, -0.0), params) if transparent else None
        nothing = jnp.zeros((), jnp.int32), optimizer.init(params), jnp.asarray(False)
        return AscentState(*nothing, kept, method.init(params))

    def ascent(count):
        now = method if rho is None else method.at_radius(rho(count))
        return now if mask is None else _Masked(now, mask)

    def update(updates, state, params=None, *, grad_fn=None, **extra):
        if params is None:
            raise InvalidInput("sam needs the parameters: call update(grads, state, params).")
        now = ascent(state.count)
        _require_like(updates, params, "the gradient given to update is")
        params = jax.tree.map(jnp.asarray, params)
        return step(optimizer, now, updates, state, params, grad_fn, extra)

    update.ascent = ascent  # the monitor asks where w^p is
    return optax.GradientTransformationExtraArgs(init, update)


def _opaque(base, method, grads, state, w, grad_fn, extra):
    if grad_fn is None:
        raise InvalidInput(
            "sam needs grad_fn, the gradient as a function of the parameters: give it to update, "
            "or choose transparent=True."
        )
    ask = _of_parameters_alone(grad_fn)

    def gradient(v):
        if v is w:
            return grads
        found = ask(v)
        _require_like(found, w, "grad_fn returns")
        return found

    def perturbed():
        found, memory = method.update(state.memory, gradient, w)
        like = lambda new, old: jnp.asarray(new).astype(old.dtype)  # noqa: E731
        return jax.tree.map(like, found, grads), memory

    idle = False if method.radius is None or method.remembers else number(method.radius) == 0
    # a fixed radius of 0 compiles to the optimizer alone
    d, memory = branch(idle, lambda: (grads, state.memory), perturbed)
    updates, after = base.update(d, state.base, w, **extra)
    count = optax.safe_increment(state.count)
    return updates, state._replace(count=count, base=after, memory=memory)


def _transparent(base, method, grads, state, params, grad_fn, extra):
    del grad_fn
    perturbed, remembered = state.perturbed, state.kept
    w = jax.tree.map(lambda p, k: jnp.where(perturbed, k, p + k), params, remembered)

    def ascend():
        there, memory = method.ascend(state.memory, lambda v: _only_at(w, v, grads), w)
        return there, state.base, memory

    def descend():
        gradient = lambda v: _only_at(params, v, grads)  # noqa: E731
        d = method.descend(gradient, w, params)
        d, memory = method.conclude(state.memory, gradient, w, d)
        updates, after = base.update(d, state.base, w, **extra)
        return jax.tree.map(lambda u, x: u.astype(x.dtype), updates, w), after, memory

    # Compilers fuse a product with the sum after it and round once. What leaves a branch is
    # stored, so from here on every addition rounds as written.
    found, after, memory = branch(perturbed, descend, ascend)
    goal = jax.tree.map(lambda x, y: jnp.where(perturbed, x + y, y), w, found)
    updates = jax.tree.map(
        # where nothing was perturbed, the optimizer's own update
        lambda g, p, x, u: jnp.where(perturbed & (p == x), u, _way(g, p)),
        *(goal, params, w, found),
    )
    arrived = optax.apply_updates(params, updates)
    kept = jax.tree.map(lambda g, p, x: jnp.where(perturbed, _way(g, p), x), goal, arrived, w)
    count = jnp.where(perturbed, optax.safe_increment(state.count), state.count)
    return updates, AscentState(count, after, ~perturbed, kept, memory)


class _Masked(NamedTuple):
    """A method that moves those leaves alone whose `mask` is True."""

    of: AbstractMethod
    mask: PyTree

    @property
    def radius(self):
        return self.of.radius

    @property
    def remembers(self):
        return self.of.remembers

    def init(self, w):
        return self.of.init(w)

    def perturb(self, gradient, w):
        return self.ascend(self.init(w), gradient, w)[0]

    def ascend(self, memory, gradient, w):
        mask = _full_mask(self.mask, w)

        def choose(masked, other):
            return jax.tree.map(lambda m, x, y: x if m else y, mask, masked, other)

        def partial(v):
            g = gradient(v)  # the very w of the caller, whose gradient is known already
            return choose(g, jax.tree.map(jnp.zeros_like, g))

        ahead, memory = self.of.ascend(memory, partial, w)
        return choose(ahead, w), memory

    def descend(self, gradient, w, ahead):
        return self.of.descend(gradient, w, ahead)

    def conclude(self, memory, gradient, w, direction):
        return self.of.conclude(memory, gradient, w, direction)

    def update(self, memory, gradient, w):
        ahead, memory = self.ascend(memory, gradient, w)
        return self.conclude(memory, gradient, w, self.descend(gradient, w, ahead))


def _full_mask(mask: PyTree, params: PyTree) -> PyTree:
    """`mask` with one boolean for each leaf of `params`."""
    try:
        full = jax.tree.map(lambda m, part: jax.tree.map(lambda _: m, part), mask, params)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "sam's mask must be a pytree of booleans like the parameters, or the beginning of one."
        ) from error
    if not all(isinstance(m, bool | np.bool_) for m in jax.tree.leaves(full)):
        raise InvalidInput("sam's mask must hold True and False alone.")
    return full


def _require_like(found: PyTree, w: PyTree, what: str) -> None:
    """`InvalidInput` unless `found` has the structure and the shapes of the parameters."""
    masked = any(isinstance(leaf, optax.MaskedNode) for leaf in _nodes(w))
    if masked:
        raise InvalidInput(
            "sam sees only a part of the parameters, and grad_fn needs them all: put optax.masked "
            "or optax.multi_transform into the optimizer that sam wraps, and give sam a mask."
        )
    if jax.tree.structure(found) != jax.tree.structure(w):
        raise InvalidInput(
            f"{what} {_structure(found)}, the parameters are {_structure(w)}: a gradient like the "
            "parameters is needed. With jax.value_and_grad, or has_aux=True, take that part of it."
        )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(w), strict=True):
        if jnp.shape(one) != jnp.shape(other):
            raise InvalidInput(
                f"{what} an array of shape {jnp.shape(one)} for parameters of shape "
                f"{jnp.shape(other)}: a gradient like the parameters is needed."
            )


def _nodes(w: PyTree) -> list[Any]:
    return jax.tree.leaves(w, is_leaf=lambda node: isinstance(node, optax.MaskedNode))


def _structure(w: PyTree) -> str:
    text = str(jax.tree.structure(w)).removeprefix("PyTreeDef(").removesuffix(")")
    return f"a pytree {text}" if len(text) <= 80 else f"a {type(w).__name__} of another structure"


def _require_room(params: PyTree) -> None:
    if any(has_16_bits(leaf) for leaf in jax.tree.leaves(params)):
        raise InvalidInput(
            "the transparent mode keeps w^p in the parameters, and 16 bits would round the ascent "
            "away: use the opaque mode, or float32 parameters."
        )


def _way(goal, start):
    """u for which start + u is as close to `goal` as one addition comes; −0 for no way at all.

    The plain difference is that u: the neighbours of its rounded value come no closer.
    """
    u = goal - start
    return jnp.where(goal == start, jnp.full_like(u, -0.0), u)


def _only_at(w, v, grads):
    if v is not w:
        raise InvalidInput(
            "this method takes gradients away from w, for which the transparent mode has no "
            "call of update: use the opaque mode."
        )
    return grads


def _of_parameters_alone(grad_fn: Callable) -> Callable:
    """`grad_fn` as a function of w: a second argument that it cannot do without is given 0."""
    told = "grad_fn is the gradient as a function of the parameters alone"
    try:
        parameters = inspect.signature(grad_fn).parameters.values()
    except (TypeError, ValueError):  # a callable that does not tell
        return grad_fn
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.default is p.empty]
    required = [p for p in needed if p.kind in positional]
    keyword = next((p.name for p in needed if p.kind is p.KEYWORD_ONLY), None)
    if len(required) > 2 or keyword is not None:
        other = keyword or required[1].name
        raise InvalidInput(f"{told}: close over {other}, lambda w: grad_fn(w, {other}).")
    other = required[1].name if len(required) == 2 else "_"
    counts = other.startswith("_") or other in NUMBERS
    if hasattr(grad_fn, "__wrapped__") and not counts:  # made by jax.grad, of a loss of data
        raise InvalidInput(
            f"{told}, and that of a loss of w and {other} would be given the number 0 for {other}: "
            f"lambda w: jax.grad(loss)(w, {other})."
        )
    return (lambda w: grad_fn(w, 0)) if len(required) == 2 else grad_fn


def check_parts(base: Any, method: Any) -> optax.GradientTransformationExtraArgs:
    """`base` as an optimizer; `InvalidInput` unless one gradient at w^p makes its step."""
    optimizer = as_optimizer(base, "sam")
    require_method(method)
    if method.differentiates_ascent:
        kind = type(method).__name__
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
