"""The distance at which the flow first points outward, looked for coarsely and then closely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, Flow, get_loss
from samdyn.attractors.judging import sliding

LOSSES = ("himmelblau", "six-hump-camel", "muller-brown", "double-well-2d")


@pytest.mark.parametrize("rho", [0.1, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_looking_closely_everywhere_finds_nothing_sooner(name, rho, monkeypatch):
    loss = get_loss(name)
    critical = [np.asarray(point.w) for point in loss.critical_points[:4]]

    def radii():
        verdicts = [sliding.sliding_verdict(Flow(loss, SAM(rho)), w, rho) for w in critical]
        return [verdict.capture_radius for verdict in verdicts]

    found = radii()
    monkeypatch.setattr(sliding, "AT_ONCE", 1)
    assert found == radii()


def test_a_bowl_with_a_bump_is_left_where_the_bump_begins():
    """A hill on one side of a bowl; where V' is first ≥ 0 is sought here with JAX alone."""

    def loss(w):
        return w @ w / 2 + 2 * jnp.exp(-((w[0] - 1.2) ** 2 + w[1] ** 2) / 0.02)

    rho, slope = 0.5, jax.vmap(jax.grad(loss))
    r, angle = np.meshgrid(np.linspace(0.5, 0.9, 4001), np.linspace(-0.2, 0.2, 201))
    u = np.stack([np.cos(angle.ravel()), np.sin(angle.ravel())], axis=1)
    w = r.reshape(-1, 1) * u
    g = np.asarray(slope(w))
    there = np.asarray(slope(w + rho * g / np.linalg.norm(g, axis=1, keepdims=True)))
    outward = np.sum(there * u, axis=1) <= 0
    radius = sliding.sliding_verdict(Flow(loss, SAM(rho)), np.zeros(2), rho).capture_radius
    assert radius == pytest.approx(np.min(r.ravel()[outward]), abs=1e-4)
