"""Do the examples of a batch see each other, as in batch norm? Does their noise differ?

The loss of independent examples is a sum over them, a mean, or one of these with a penalty on the
parameters. If a third of the examples is replaced by another third, it changes by the difference of
the two; if two thirds are, by the sum of the changes that each makes alone. That holds for the
gradient as well, which tells where the loss is the same for all, as at a plateau. And the order of
examples does not matter, unless their noise belongs to their place in the batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...errors import InvalidInput

LEAST = 3  # examples: two that change places change nothing even where they see each other
CLOSE = 1e-9  # of the changes that are added up, and the rounding of the loss's arithmetic
SUM, RATIO = "sum", "ratio"
KNOWN = 4  # numbers of a loss and its gradient: of fewer, any would fit two unknown ones
MOST = 4  # axes that are tried
ROUNDING = 30  # units of the size of the loss or the gradient
TRIES = 2  # pairs of replacements, each of other examples

Value = tuple[float, np.ndarray]


class _Axis(NamedTuple):
    """An axis of examples: which leaves have it, which of theirs it is, and how long it is."""

    leaves: tuple[int, ...]
    places: tuple[int, ...]
    size: int

    def place(self, leaf: int) -> int:
        """Which axis of that leaf it is."""
        return self.places[self.leaves.index(leaf)]


def check_independence(loss: Callable, w: jax.Array, batch: PyTree, rounding: float) -> str:
    """What was found, in words; `InvalidInput` where examples see each other or a key matters.

    `rounding` is the unit of the coarsest arithmetic in the loss.
    """
    leaves, structure = jax.tree.flatten(batch)
    keys = [i for i, leaf in enumerate(leaves) if _is_key(leaf)]
    value = lambda changed: evaluate(loss, w, jax.tree.unflatten(structure, changed))  # noqa: E731
    whole = value(leaves)
    rounding = max(rounding, float(jnp.finfo(w.dtype).eps))
    noise = [ROUNDING * rounding * max(1e-300, float(np.linalg.norm(part))) for part in whole]
    if any(_differ(whole, value(_other_key(leaves, i)), noise) for i in keys):
        raise InvalidInput(
            "the loss depends on a random key in its batch, as with dropout: switch to inference "
            "mode, or pass check=False (--no-check) if this very draw is meant."
        )
    axes = _axes(leaves, keys)
    if not axes:
        return (
            f"not checked: no axis of {LEAST} examples or more is shared by the arrays of a batch"
        )
    reports = [_along(leaves, axis, value, whole, noise) for axis in axes]
    for found in reports:
        if found is not None:
            return found
    for axis in axes:
        related = _relating(leaves, axis, value, whole, noise)
        if related is not None:
            return f"not checked: an array of shape {related} relates examples to one another"
    raise InvalidInput(
        "the loss of a batch or its gradient is no sum over its examples: they see each other, as "
        "in batch norm in training mode or in a contrastive loss, their noise differs, as in "
        "dropout, or the mean is not the last thing taken; switch to inference mode, or pass "
        "check=False (--no-check) if this is meant."
    )


@eqx.filter_jit
def _value_and_gradient(loss: Callable, w: jax.Array, batch: PyTree):
    return jax.value_and_grad(loss)(w, batch)


def evaluate(loss: Callable, w: jax.Array, batch: PyTree) -> Value:
    """(loss, gradient (dim,)) of one batch."""
    value, gradient = _value_and_gradient(loss, w, batch)
    return float(value), np.asarray(gradient, float)


def _is_key(leaf: Any) -> bool:
    """A random key: of its own dtype, or the two or four 32-bit words that it was."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return True
    return leaf.dtype == jnp.uint32 and leaf.shape in ((2,), (4,))


def _may_be_keys(leaf: Any) -> bool:
    """Several keys of the old kind look like numbers."""
    leaf = jnp.asarray(leaf)
    return leaf.dtype == jnp.uint32 and leaf.ndim > 1 and leaf.shape[-1] in (2, 4)


def _other_key(leaves: list[Any], place: int) -> list[Any]:
    leaf = jnp.asarray(leaves[place])
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    other = (
        jax.vmap(jax.random.split)(leaf.ravel())[:, 0].reshape(leaf.shape) if typed else leaf + 1
    )
    return [*leaves[:place], other, *leaves[place + 1 :]]


def _axes(leaves: list[Any], keys: list[int]) -> list[_Axis]:
    """Axes that may be that of examples, by their lengths: first those that most arrays share.

    It is one of the first two of each array, and need not be the same of all: sequences may have
    time first, and one label each. An array without it is the same for all examples: class
    weights, a step count.
    """
    sizes: dict[tuple[int, int], dict[int, int]] = {}
    for axis in (0, 1):
        for i, leaf in enumerate(leaves):
            if i not in keys and np.ndim(leaf) > axis and np.shape(leaf)[axis] >= LEAST:
                for first in (0, 1):  # where a length occurs twice in an array, either is tried
                    chosen = sizes.setdefault((np.shape(leaf)[axis], first), {})
                    if i not in chosen or axis == first:
                        chosen[i] = axis
    numbers = lambda found: sum(np.size(leaves[i]) for i in found)  # noqa: E731
    ranked = sorted(sizes.items(), key=lambda item: (-len(item[1]), item[0][1], -numbers(item[1])))
    found = []
    for (size, _), chosen in ranked:
        axis = _Axis(tuple(chosen), tuple(chosen.values()), size)
        feature = len(chosen) == 1 and (1 in axis.places or bool(found))  # of one array alone
        if axis not in found and not feature:
            found.append(axis)
    return found[:MOST]


def _relating(
    leaves: list[Any], axis: _Axis, value: Callable, whole: Value, noise: list[float]
) -> tuple[int, ...] | None:
    """The shape of an array with two axes of examples, as the matrix of a graph has, else None.

    The loss feels what stands in it, and does not feel a new order of the examples that moves both
    of its axes. Where a second axis has that length by chance, the new order would mix features.
    """
    order = np.roll(np.arange(axis.size), 1)
    for i, leaf in enumerate(leaves):
        places = [
            k
            for k, n in enumerate(np.shape(leaf))
            if n == axis.size and i in axis.leaves and k != axis.place(i)
        ]
        for place in places:
            turned = _taken(leaves, axis, axis.leaves, order)
            turned[i] = jnp.take(turned[i], order, axis=place)
            merged = list(leaves)
            merged[i] = jnp.take(jnp.asarray(leaf), np.zeros(axis.size, int), axis=place)
            if _differ(whole, value(merged), noise) and not _differ(whole, value(turned), noise):
                return np.shape(leaf)
    return None


def _along(
    leaves: list[Any], axis: _Axis, value: Callable, whole: Value, noise: list[float]
) -> str | None:
    """What was found if examples along an axis are independent, else None."""
    which = " or ".join(map(str, sorted(set(axis.places))))
    place = f"axis {which} of length {axis.size}"
    for held in (None, *_masks(leaves, axis)):
        moved = tuple(i for i in axis.leaves if i != held)
        how = _independent(leaves, axis, moved, value, whole, noise) if moved else ""
        if not how:
            continue
        order = np.roll(np.arange(axis.size), 1)
        if _differ(whole, value(_taken(leaves, axis, axis.leaves, order)), noise):
            continue
        rest = "" if held is None else ", in a mean over those that a mask selects"
        rest = rest or (
            ", in a mean over those that a mask or a label selects" if how == RATIO else ""
        )
        keys = any(_may_be_keys(leaf) for leaf in leaves)
        chance = (
            "uint32 arrays, which may be keys, were kept" if keys else "nothing in it is random"
        )
        return f"examples ({place}) do not see each other{rest}; {chance}"
    return None


def _masks(leaves: list[Any], axis: _Axis) -> list[int]:
    """Arrays of 0 and 1, or of truth values: the mean may be over those that they select."""
    values = ((i, np.asarray(leaves[i])) for i in axis.leaves)
    return [i for i, x in values if x.dtype == bool or np.all((x == 0) | (x == 1))]


def _independent(leaves, axis: _Axis, moved, value: Callable, whole: Value, noise) -> str:
    """SUM if replacing two thirds changes what replacing each changes alone, added up, RATIO if
    the loss may be a sum over another one, as a mean over labels that are not ignored; else ""."""
    rng, found = np.random.default_rng(0), SUM
    close = max(CLOSE, noise[0] / max(1e-300, abs(whole[0])))
    for _ in range(TRIES):
        third = axis.size // 3
        one, other, donors = np.split(rng.permutation(axis.size)[: 3 * third], 3)
        changed = []
        for targets in ((one,), (other,), (one, other)):
            order = np.arange(axis.size)
            for target in targets:
                order[target] = donors
            changed.append(value(_taken(leaves, axis, moved, order)))
        for w, a, b, both, allowed in zip(whole, *changed, noise, strict=True):
            sizes = np.linalg.norm(a - w) + np.linalg.norm(b - w)
            if np.linalg.norm(both - a - b + w) > close * sizes + 4 * allowed:
                found = RATIO
        if found == RATIO and not _is_ratio(whole, changed[0], changed[1], changed[2], noise):
            return ""
    return found


def _is_ratio(whole: Value, one: Value, other: Value, both: Value, noise: list[float]) -> bool:
    """Whether S/N is the loss, with sums S and N over the examples, and N the same for all w.

    Then (1 + r + s) both = (1 + r) one + (1 + s) other − whole, in the loss and in each derivative,
    with two numbers r and s, by which shares each replacement changes N.
    """
    scale = np.array([1 / max(n, 1e-300) for n in noise])
    rows = [np.append(v[0] * scale[0], v[1] * scale[1]) for v in (whole, one, other, both)]
    if rows[0].size < KNOWN:
        return False
    matrix = np.stack([rows[3] - rows[1], rows[3] - rows[2]], axis=1)
    want = rows[1] + rows[2] - rows[0] - rows[3]
    shares, *_ = np.linalg.lstsq(matrix, want)
    gap, sizes = np.linalg.norm(matrix @ shares - want), np.linalg.norm(matrix)
    return bool(np.all(shares > -1) and gap <= CLOSE * sizes + 8)


def _taken(leaves: list[Any], axis: _Axis, moved: tuple[int, ...], order: np.ndarray) -> list[Any]:
    return [
        jnp.take(jnp.asarray(leaf), order, axis=axis.place(i)) if i in moved else leaf
        for i, leaf in enumerate(leaves)
    ]


def _differ(one: Value, other: Value, noise: list[float]) -> bool:
    return any(
        float(np.linalg.norm(a - b)) > allowed
        for a, b, allowed in zip(one, other, noise, strict=True)
    )
