"""Curvature while training: every so many steps, both ends of the Hessian's spectrum and more.

The monitor wraps an optimizer and leaves it alone. It looks only at w: the gradient, like the
Hessian, it takes of its own loss. The training gradient stays where the compiler put it, and so
training keeps every bit.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ...dynamics import tree
from ...dynamics.methods.gd import GD
from ...dynamics.methods.method import AbstractMethod
from ...errors import InvalidInput, brief
from ...spectra.krylov import norm
from ...spectra.lanczos import ritz_ends
from ...spectra.products.contract import slow_in_loops
from .sam_transform import AscentState, as_optimizer, branch, require_floats


class Record(NamedTuple):
    """What is measured at one step.

    With g and H the gradient and the Hessian of the monitor's loss at w: `gradient_norm` is ‖g‖.
    `lambda_min` and `lambda_max` are the outer Ritz values of H: an eigenvalue lies within each
    one's residual. λ_min itself is never above its Ritz value, nor λ_max below, up to rounding,
    which the residuals include. `rho_now` is ‖g‖/|lambda_min|, an upper bound of that of λ_min, and
    infinite unless `lambda_min` is below 0 by more than rounding. `cosine` is that of g(w)
    with g(w^p), 0 where one of them vanishes, and nan where w^p is not known. `batch_sharpness` is
    the mean over batches of gᵀHg/gᵀg, each with its own g and H: where it settles at 2/η, and
    `lambda_max` of the mean loss lower, minibatches set the edge (Andreyev & Beneventano,
    arXiv 2412.20553); of one batch, unless `sharpness_batches` says more.
    """

    gradient_norm: Any
    lambda_min: Any
    lambda_min_residual: Any
    lambda_max: Any
    lambda_max_residual: Any
    rho_now: Any
    cosine: Any
    batch_sharpness: Any


class MonitorState(NamedTuple):
    """The optimizer's state, the number of steps begun, and the last records as a ring.

    `at` (capacity,) holds the steps of the records, −1 where there is none yet, and `values`
    (capacity, 8) the fields of `Record`. Few arrays, because each costs every step some
    microseconds of dispatch.
    """

    inner: PyTree
    step: jax.Array
    at: jax.Array
    values: jax.Array


def monitor(
    optimizer: optax.GradientTransformation | optax.MultiSteps,
    loss: Callable,
    batch: Any = None,
    *,
    every: int = 100,
    products: int = 8,
    method: AbstractMethod | None = None,
    capacity: int = 256,
    sharpness_batches: int = 1,
    seed: int = 0,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, with a record of the curvature at every `every`-th step.

        optimizer = samdyn.optax.monitor(optax.adam(1e-3), loss, (x[:64], y[:64]))
        ...                                     # train as before
        samdyn.optax.readings(state)["lambda_min"]

    `loss` is `loss(w, batch)`, or `loss(w)` without a `batch`. A batch is any pytree, the same at
    every record, or a function of the step count that makes one, from which batches are drawn.
    The parameters are any pytree of float32 or float64 arrays. λ_min and λ_max come from `products`
    Hessian-vector products (Lanczos from a random vector of `seed`), and the batch sharpness from
    one more on each of `sharpness_batches` batches, those of the steps that follow where `batch` is
    a function. `method` says where w^p
    is, for the cosine of g(w) and g(w^p); by default it is that of the samdyn `sam` that is
    wrapped. Around another optimizer w^p = w, and the cosine is 1; it is nan where a SAM stands
    deeper inside, or is that of optax. The newest `capacity` records are kept in the state;
    `readings` returns them, and `Record` explains them.

    A model with a state, such as the running statistics of batch norm, would be judged with the
    state that `loss` closes over. Give `loss` a keyword instead, `loss(w, batch, *, statistics)`,
    and update the same: `update(grads, state, w, statistics=now)`.

    It wraps instead of standing in an `optax.chain`, because only a wrapper sees the optimizer's
    state, which tells whether the parameters are w or w^p: between the calls of a transparent
    `sam`, samdyn's or optax's, nothing is recorded or counted. Every other call counts as a step,
    so also each one that `optax.MultiSteps` only accumulates. Updates and extra arguments pass
    through untouched. A step that records costs up to 2·`products` + 5 gradients of the monitor's
    loss (2 more for each further batch of the sharpness) and as many passes over the parameters,
    others nothing: give it a batch smaller than that
    of training (a sixteenth cost MLPs 1 to 4 %). Under `vmap` every step pays. On CPUs XLA's
    convolutions are slow inside the conditional that a compiled update needs: 64 images of a net of
    284,000 parameters took 6.5 s a record. There call update without `jax.jit`, only the training
    gradient compiled: a record then is compiled by itself.

    Raises `InvalidInput` for `every`, `products` or `capacity` below 1, for parameters that are
    absent or not floats of 32 or 64 bits, and for a loss that is not one real number.

    Source: Lanczos 1950, with all vectors kept orthogonal.
    """
    counts = {"every": every, "products": products, "capacity": capacity}
    for name, value in (counts | {"sharpness_batches": sharpness_batches}).items():
        if value < 1:
            raise InvalidInput(f"the monitor's {name} must be 1 or more, not {value}.")
    inner = as_optimizer(optimizer, "the monitor")
    ascent = getattr(inner.update, "ascent", lambda count: GD())
    if method is not None:
        ascent = lambda count: method  # noqa: E731
    wanted = _keywords(loss, 1 if batch is None else 2)

    def loss_at(step, told):
        more = {name: value for name, value in told.items() if name in wanted}
        if batch is None:
            return lambda w: loss(w, **more)
        now = batch(step) if callable(batch) else batch
        return lambda w: loss(w, now, **more)

    @functools.partial(jax.jit, static_argnums=0)
    def measured(known, params, step, count, told, memory):
        now = ascent(count) if known else None
        key = jax.random.fold_in(jax.random.key(seed), step)
        found = _measure(loss_at(step, told), params, now, memory, products, key)
        further = range(1, sharpness_batches if callable(batch) else 1)
        more = [_sharpness(loss_at(step + k, told), params) for k in further]
        mean = (found.batch_sharpness + sum(more)) / (1 + len(more))
        return jnp.stack(found._replace(batch_sharpness=mean))

    def init(params):
        require_floats(params, "the monitor")
        dtype = _precision(params)
        if not wanted:  # with keywords it is known at the first update
            _check_loss(lambda step: loss_at(step, {}), params)
        values = jnp.zeros((capacity, len(Record._fields)), dtype)
        at = jnp.full(capacity, -1, jnp.int32)
        return MonitorState(inner.init(params), jnp.zeros((), jnp.int32), at, values)

    def update(updates, state, params=None, **extra):
        if params is None:
            raise InvalidInput("the monitor needs the parameters: update(grads, state, params).")
        missing = [name for name, needed in wanted.items() if needed and name not in extra]
        if missing:
            raise InvalidInput(
                f"the monitor's loss needs {missing[0]}: give it to update, {missing[0]}=…."
            )
        counted = _between_steps(state.inner)
        due = counted & (state.step % every == 0)

        def write():
            told = {name: value for name, value in extra.items() if name in wanted}
            ours = isinstance(state.inner, AscentState)
            known = ours or method is not None or not _sams(state.inner)
            count = state.inner.count if ours else state.step
            memory = state.inner.memory if ours else None
            row = measured(known, params, state.step, count, told, memory)
            index = (state.step // every) % capacity
            return state.at.at[index].set(state.step), state.values.at[index].set(row)

        at, values = branch(due, write, lambda: (state.at, state.values))
        updates, after = inner.update(updates, state.inner, params, **extra)
        step = jnp.where(counted, optax.safe_increment(state.step), state.step)
        return updates, MonitorState(after, step, at, values)

    return optax.GradientTransformationExtraArgs(init, update)


def readings(state: PyTree) -> dict[str, np.ndarray]:
    """The records in an optimizer state, oldest first, each an array (records,).

    The keys are "step" and the fields of `Record`. `state` may hold the monitor anywhere inside,
    as after `optax.chain`. Raises `InvalidInput` unless it holds exactly one, of one run.
    """
    is_monitor = lambda node: isinstance(node, MonitorState)  # noqa: E731
    found = [node for node in jax.tree.leaves(state, is_leaf=is_monitor) if is_monitor(node)]
    if len(found) != 1:
        raise InvalidInput(f"readings need a state that holds one monitor, not {len(found)}.")
    if found[0].at.ndim != 1:
        raise InvalidInput("readings are of one run: take one from the batch of states.")
    at, values = np.asarray(found[0].at), np.asarray(found[0].values)
    order = np.argsort(at)[np.sum(at < 0) :]
    columns = dict(zip(Record._fields, values[order].T, strict=True))
    return {"step": at[order]} | columns


def _keywords(loss: Callable, positional: int) -> dict[str, bool]:
    """Names of a loss's arguments beyond the first `positional` ones, and whether it needs each."""
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):  # a callable that does not tell
        return {}
    either = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    first = sum(p.kind is p.POSITIONAL_ONLY for p in parameters)
    only = either[max(0, positional - first) :] + [
        p for p in parameters if p.kind is p.KEYWORD_ONLY
    ]
    return {p.name: p.default is p.empty for p in only}


def _measure(loss, w, method, memory, products, key) -> Record:
    """One record, at the parameters w; without a method the cosine is not known."""
    flat_loss, flat, unravel = tree.flatten(loss, w)
    gradient = jax.grad(flat_loss)
    g, hessian = jax.linearize(gradient, flat)  # one linearisation for all the products
    unroll = slow_in_loops(flat_loss, flat)
    ends = ritz_ends(hessian, jax.random.normal(key, flat.shape, flat.dtype), products, unroll)
    cosine = jnp.asarray(jnp.nan, flat.dtype)
    if method is not None:
        memory = method.init(w) if memory is None else memory
        wp, _ = method.ascend(memory, lambda v: unravel(g) if v is w else jax.grad(loss)(v), w)
        there = g if wp is w else gradient(tree.flatten(loss, wp)[1])
        cosine = jnp.sum(tree.unit(g) * tree.unit(there))
    # below 0 by rounding alone is no negative curvature; below it by more is, whatever the residual
    rounding = 8 * jnp.finfo(flat.dtype).eps * jnp.maximum(jnp.abs(ends.low), jnp.abs(ends.high))
    length, negative = norm(g), -ends.low > rounding
    rho = jnp.where(negative, length / jnp.where(negative, -ends.low, 1), jnp.inf)
    return Record(length, *ends, rho, cosine, _along(g, hessian(g)))


def _sharpness(loss: Callable, w: PyTree) -> jax.Array:
    """gᵀHg/gᵀg of one batch."""
    flat_loss, flat, _ = tree.flatten(loss, w)
    gradient = jax.grad(flat_loss)
    g = gradient(flat)
    return _along(g, jax.jvp(gradient, (flat,), (g,))[1])


def _along(g: jax.Array, bent: jax.Array) -> jax.Array:
    """gᵀ·bent/gᵀg, 0 where there is no gradient; squares of it may be too small to be numbers."""
    length = norm(g)
    scale = jnp.where(length > 0, length, 1)
    return jnp.sum((g / scale) * (bent / scale))


def _between_steps(state: PyTree) -> jax.Array:
    """Are the parameters w itself? False between the calls of a transparent SAM in the state."""
    answer = jnp.asarray(True)
    for node in _sams(state):
        answer &= ~node.perturbed if isinstance(node, AscentState) else node.steps_since_sync == 0
    return answer


def _sams(state: PyTree) -> list[Any]:
    """The states of a SAM within an optimizer's."""
    return [node for node in jax.tree.leaves(state, is_leaf=_is_sam) if _is_sam(node)]


def _is_sam(node: Any) -> bool:
    """The SAM of optax is known by its counter, not by a type that is no public name."""
    return isinstance(node, AscentState) or hasattr(node, "steps_since_sync")


def _precision(params: PyTree) -> Any:
    """The dtype of all parameters as one vector; `InvalidInput` for one without eigenvalues."""
    dtype = jax.eval_shape(lambda w: tree.flatten(len, w)[1], params).dtype
    if dtype.itemsize < 4:
        raise InvalidInput(f"the monitor needs parameters in float32 or float64, not {dtype.name}.")
    return dtype


def _check_loss(loss_at: Callable, params: PyTree) -> None:
    try:
        value = jax.eval_shape(lambda w, step: loss_at(step)(w), params, jnp.zeros((), jnp.int32))
    except TypeError as error:
        told = f"the monitor's loss failed: {brief(error)}"
        raise InvalidInput(f"{told}; it is loss(w, batch), or loss(w) without a batch.") from error
    number = isinstance(value, jax.ShapeDtypeStruct)
    if not number or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        what = f"{value.dtype} of shape {value.shape}" if number else type(value).__name__
        raise InvalidInput(f"the monitor's loss must return one real number, but returns {what}.")
