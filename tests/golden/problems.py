"""Losses and training problems that golden commands name by FILE.py:NAME."""

import jax.numpy as jnp


def fold(w):
    """Two critical points in one: the gradient w₀² touches zero."""
    return w[0] ** 3 / 3


def kink(w):
    """No gradient at the minimum."""
    return jnp.sum(jnp.abs(w))


def hill(w):
    """Curvature −2 in one dimension: the saddle's escape direction alone."""
    return -jnp.sum(w**2)


def is_left(w):
    """A region that only says yes or no."""
    return w[0] < 0.0


def quadratic(params, batch):
    """½ Σ a w², a mean over the examples of a batch."""
    return 0.5 * jnp.mean(batch @ params["w"] ** 2)


def _problem(w, curvatures):
    batches = [jnp.tile(jnp.asarray(a), (4, 1)) for a in curvatures]
    return {"params": {"w": jnp.asarray(w)}, "loss": quadratic, "batches": batches}


def saddle():
    """Curvatures 2 and −1, the same in each batch."""
    return _problem([0.0, 1e-3], [[2.0, -1.0], [2.0, -1.0]])


def noisy_saddle():
    """Curvature −0.1 in the mean of ±: almost every run comes back."""
    return _problem([0.0, 1e-3], [[2.0, 1.9], [2.0, -2.1]])


def minimum():
    """Curvatures 2 and 1."""
    return _problem([1e-3, 1e-3], [[2.0, 1.0], [2.0, 1.0]])


def maximum():
    """Curvatures −2 and −1."""
    return _problem([1e-3, 1e-3], [[-2.0, -1.0], [-2.0, -1.0]])


def slope():
    """Far from the saddle: the gradient decides."""
    return _problem([10.0, 1e-3], [[0.2, -0.1], [0.2, -0.1]])


def flat():
    """No curvature at all, which no arithmetic can tell from a little."""
    return _problem([1.0, 1.0], [[0.0, 0.0], [0.0, 0.0]])


def wells(w):
    """The mean of `two_wells` over its batches."""
    return jnp.mean(jnp.stack([_well(w, c) for c in (0.1, 1.9)]))


def _well(w, c):
    return jnp.minimum(w[0] ** 2, c * (w[0] - 1) ** 2)


def two_wells():
    """min(w², c(w − 1)²), of which steps on one batch leave the well at 1 first."""
    return {"params": jnp.ones(1), "loss": _well, "batches": [jnp.asarray(0.1), jnp.asarray(1.9)]}
