"""Networks to study: does a key make one, and does it map an example to logits?"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checks import require_function
from .asking import attempt, flat, require, same


def check_model(make: Any, shape: Sequence[int], classes: int) -> None:
    """`InvalidInput`, one sentence, unless make(key) is a network: an equinox Module that maps an
    example (`shape`, float32) to logits (`classes`,), alone, without a batch or a state."""
    name = getattr(make, "__name__", None) or "the model"
    require_function(make, "make(key) that returns a network")
    key, example = jax.random.key(0), jnp.ones(tuple(shape), jnp.float32)
    network = attempt(name, make, key)
    require(isinstance(network, eqx.Module), f"{name} must make an equinox Module of a key.")
    params, rest = eqx.partition(network, eqx.is_inexact_array)
    require(bool(jax.tree.leaves(params)), f"{name} makes a network without parameters.")
    again, other = (eqx.filter(make(k), eqx.is_inexact_array) for k in (key, jax.random.key(1)))
    require(same(params, again, 0.0), f"{name} makes another network of the same key.")
    require(not same(params, other, 0.0), f"{name} makes the same network of every key.")
    scores = lambda params, x: eqx.combine(params, rest)(x)  # noqa: E731
    logits = attempt(f"the network of {name}", scores, params, example)
    made = jnp.shape(logits)
    require(
        made == (classes,),
        f"the network of {name} must map an example {tuple(shape)} to logits ({classes},), not "
        f"{made}.",
    )
    require(
        jnp.issubdtype(jnp.result_type(logits), jnp.floating) and np.all(np.isfinite(logits)),
        f"the logits of {name} are not finite numbers.",
    )
    jitted = attempt(f"{name} under jax.jit", jax.jit(scores), params, example)
    require(same(jitted, logits, 1e-4), f"the logits of {name} are others under jax.jit.")
    batch = jnp.stack([example, 2 * example])
    mapped = attempt(f"{name} under jax.vmap", jax.vmap(scores, (None, 0)), params, batch)
    require(same(mapped[0], logits, 1e-4), f"the logits of {name} are others under jax.vmap.")
    slope = attempt(
        f"the gradient of {name}", jax.grad(lambda p: jnp.sum(scores(p, example))), params
    )
    require(np.all(np.isfinite(flat(slope))), f"the gradient of {name} is not finite.")
