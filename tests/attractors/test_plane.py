"""Planes through many dimensions: what is shown on them is what the full dynamics do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import basins, portrait

from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.plane import OnPlane, Plane
from samdyn.dynamics.systems.flow import Flow
from samdyn.errors import InvalidInput
from samdyn.losses.registry import get_loss


class Quadratic(eqx.Module):
    hessian: jax.Array
    centre: jax.Array

    def __call__(self, w):
        shift = w - self.centre
        return jnp.vdot(shift, self.hessian @ shift) / 2


class Wells(eqx.Module):
    """Σ (wᵢ² − 1)²/4 + ½ wᵀCw: what a start ends at depends on all coordinates."""

    coupling: jax.Array

    def __call__(self, w):
        return jnp.sum((w**2 - 1) ** 2) / 4 + jnp.vdot(w, self.coupling @ w) / 2


def random_quadratic(rng, dim, lowest):
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    values = 10.0 ** rng.uniform(-1, 0, dim) * np.where(np.arange(dim) == 0, lowest, 1)
    centre = rng.uniform(-1, 1, dim)
    loss = Quadratic(jnp.asarray((axes * values) @ axes.T), jnp.asarray(centre))
    return loss, (axes * values) @ axes.T, centre


@pytest.mark.thorough
def test_the_field_on_a_plane_is_the_projected_field_of_a_hundred_quadratics():
    """Under USAM the velocity is −H(I + ρH)(w − c)."""
    rng = np.random.default_rng(0)
    for number in range(100):
        dim = 3 + number % 4
        loss, hessian, centre = random_quadratic(rng, dim, rng.choice([-1, 1]))
        i, j = (int(k) for k in rng.choice(dim, 2, replace=False))
        at, p = rng.uniform(-1, 1, dim), rng.uniform(-1, 1, 2)
        seen = OnPlane(Flow(loss, USAM(0.3)), Plane(at, (i, j)))
        w = at.copy()
        w[[i, j]] = p
        shift = w - centre
        velocity = -hessian @ (shift + 0.3 * hessian @ shift)
        field = np.asarray(_at(seen, jnp.asarray(p)))
        np.testing.assert_allclose(field, velocity[[i, j]], rtol=1e-10, atol=1e-12)


@eqx.filter_jit
def _at(seen, p):
    return seen.velocity(p)


@pytest.mark.parametrize("dim", [3, 6])
@pytest.mark.thorough
def test_basins_on_planes_of_random_quadratics_are_those_of_the_full_dynamics(dim):
    """All starts reach c, unless a direction of negative curvature drives all of them away."""
    rng = np.random.default_rng(dim)
    for number in range(8):
        loss, _, centre = random_quadratic(rng, dim, -1 if number % 3 == 0 else 1)
        i, j = (int(k) for k in rng.choice(dim, 2, replace=False))
        at = rng.uniform(-1, 1, dim)
        found = basins(
            loss, GD(), box=[(-2, 2)] * 2, grid=3, learning_rate=0.5, steps=4000,
            plane=(i, j), at=at,
        )  # fmt: skip
        if number % 3 == 0:
            assert found.diverged + found.undecided + found.left_box == 1
            assert found.diverged > 0
        else:
            (only,) = found.attractors
            assert only.fraction == 1
            np.testing.assert_allclose(only.w, centre, atol=1e-8)


@pytest.mark.thorough
def test_basins_of_coupled_wells_agree_with_plain_numpy():
    rng = np.random.default_rng(1)
    coupling = 0.15 * rng.standard_normal((5, 5))
    coupling += coupling.T
    loss, at = Wells(jnp.asarray(coupling)), np.array([0.3, 0.1, -0.4, 0.2, -0.1])
    sides = [(-1.5, 1.5), (-1.0, 2.0)]
    found = basins(loss, GD(), box=sides, grid=12, learning_rate=0.1, plane=(3, 1), at=at)
    x, y = (low + (high - low) * (np.arange(12) + 0.5) / 12 for low, high in sides)
    w = np.tile(at, (12, 12, 1))
    w[..., 3], w[..., 1] = x[:, None], y[None, :]
    for _ in range(5000):
        w = w - 0.1 * (w**3 - w + w @ coupling)
    assert found.undecided == found.diverged == found.left_box == 0
    assert len(found.attractors) > 2
    ends = np.array([a.w for a in found.attractors])[found.labels]
    np.testing.assert_allclose(ends, w, atol=1e-5)
    assert found.to_dict()["plane"] == {"axes": [3, 1], "at": at.tolist()}
    legend = found.plot().get_legend()
    assert "w[3]" in legend.get_title().get_text()


@pytest.mark.thorough
def test_a_portrait_on_a_plane_marks_what_lies_on_it_and_says_that_it_projects():
    loss = get_loss("rosenbrock-4d")
    starts = [(0.5, 1.5), (0.5, 1.0, 1.0, 1.5)]
    figure = portrait(
        loss, [GD()], loss.box, starts=starts, duration=5.0, plane=(0, 3), at=[1.0] * 4
    )
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("w[0]", "w[3]")
    assert "projections" in figure.get_suptitle()
    marks = [x for x in ax.lines if x.get_label() == "attractor"]
    np.testing.assert_allclose([m.get_xydata()[0] for m in marks], [[1, 1]], atol=1e-6)
    wide = [line.get_xydata() for line in ax.lines if line.get_linewidth() == 2.0]
    first, second = (np.asarray(data) for data in wide if len(data))
    np.testing.assert_allclose(first, second)  # two coordinates mean the point on the plane


@pytest.mark.parametrize(
    ("plane", "at", "words"),
    [
        ((0, 3), None, "needs both"),
        (None, [0.0] * 4, "needs both"),
        ((1, 1), [0.0] * 4, "two different coordinates from 0 to 3"),
        ((0, 4), [0.0] * 4, "from 0 to 3"),
        ((0, 1, 2), [0.0] * 4, "two coordinates"),
        ((0, 1), [0.0, np.nan, 0, 0], "finite"),
        ((0, 1), [0.0] * 3, "dimension 4"),
    ],
)
def test_a_plane_that_is_none_is_refused(plane, at, words):
    loss = get_loss("rosenbrock-4d")
    with pytest.raises(InvalidInput, match=words):
        basins(loss, GD(), box=[(-1, 1)] * 2, grid=2, learning_rate=1e-3, plane=plane, at=at)
    with pytest.raises(InvalidInput, match=words):
        portrait(loss, [GD()], [(-1, 1)] * 2, plane=plane, at=at)


def test_a_grid_too_fine_for_many_dimensions_names_the_plane():
    with pytest.raises(InvalidInput, match=r"1 to 5 cells a side in 10 dim.*--plane I,J"):
        basins(get_loss("rosenbrock-10d"), GD(), box=[(-1, 1)] * 10, grid=50, learning_rate=1e-4)
