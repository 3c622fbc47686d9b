"""LookSAM: SAM every few steps, and between them what it added to the gradient last."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ...checks import require_whole
from .. import tree
from .method import AbstractMethodWithMemory, as_number, radius


def _weight(value: Any) -> Any:
    return as_number(value, "alpha must be a finite number ≥ 0", lambda x: x >= 0)


class Looked(NamedTuple):
    """`across`: SAM's gradient without its part along g, at the last look; `wait`: how many steps
    there are until the next one."""

    across: PyTree
    wait: jax.Array


class LookSAM(AbstractMethodWithMemory):
    """Every k-th step, the first among them, SAM's gradient g_s at w + ρ g/‖g‖ is descended, and
    g_v = g_s − ⟨g_s, g⟩g/‖g‖² kept; the others descend g + α‖g‖ g_v/‖g_v‖.

    k is `every`. Norms are of all parameters together, as the formulas have them; some public
    codes take those of each array (rollovd/LookSAM, pytorch_optimizer), some look first after k
    steps. Nothing is added where g_v = 0, as it is in one dimension.

    Source: Liu, Mai, Chen, Hsieh & You, arXiv 2203.02714.
    """

    rho: jax.Array = radius()
    every: int = eqx.field(static=True, default=5)
    alpha: jax.Array = eqx.field(converter=_weight, default=0.7)

    def __check_init__(self):
        require_whole(self.every, "every", 1)

    def init(self, w):
        return Looked(jax.tree.map(jnp.zeros_like, w), jnp.zeros((), jnp.result_type(float)))

    def ascend(self, memory, gradient, w):
        rho = jnp.where(memory.wait == 0, tree.number(self.rho), 0)
        return tree.ascend(w, rho, tree.unit(gradient(w))), memory

    def conclude(self, memory, gradient, w, direction):
        looks, g = memory.wait == 0, gradient(w)
        along = tree.unit(g)
        across = tree.add_scaled(direction, -tree.inner(direction, along), along)
        size = tree.inner(g, along)
        # what is left in one dimension is rounding, and has no direction
        rounding = ROUNDING * jnp.finfo(size.dtype).eps
        some = tree.squared_norm(across) > (rounding * tree.inner(direction, along)) ** 2
        across = jax.tree.map(lambda x: jnp.where(some, x, jnp.zeros_like(x)), across)
        added = tree.number(self.alpha).astype(size.dtype) * size
        again = tree.add_scaled(g, added, tree.unit(memory.across))
        choose = lambda now, then: jnp.where(looks, now, then)  # noqa: E731
        wait = jnp.where(looks, self.every - 1.0, memory.wait - 1)
        kept = Looked(jax.tree.map(choose, across, memory.across), wait.astype(memory.wait.dtype))
        return jax.tree.map(choose, direction, again), kept

    @property
    def discontinuous(self):
        return True


ROUNDING = 500.0  # units of rounding of the gradient: so small a rest is none
