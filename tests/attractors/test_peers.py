"""Systems that other libraries show, with closed forms, symmetry or an independent computation."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import samdyn
from samdyn import ODE, Map

HENON = Map(
    lambda w, p: jnp.stack([1 - p["a"] * w[0] ** 2 + w[1], p["b"] * w[0]]), {"a": 1.4, "b": 0.3}
)
LOGISTIC = Map(lambda w, p: p["r"] * w * (1 - w), {"r": 2.9})
DUFFING = ODE(
    lambda t, w, p: jnp.stack([w[1], w[0] - w[0] ** 3 - p["damping"] * w[1]]), {"damping": 0.2}
)
BOX = [(-2.0, 2.0), (-2.0, 2.0)]


@pytest.mark.thorough
def test_henon_has_its_two_saddles_with_their_multipliers():
    a, b = 1.4, 0.3
    found = samdyn.stability(HENON, box=BOX)
    x = np.sort(((b - 1) + np.array([-1, 1]) * np.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a))
    np.testing.assert_allclose(
        [p.point.w for p in found.points], np.stack([x, b * x], 1), rtol=1e-12
    )
    for point in found.points:
        at = point.point.w[0]
        expected = np.linalg.eigvals([[-2 * a * at, 1], [b, 0]])
        np.testing.assert_allclose(
            np.sort(point.step.eigenvalues.real), np.sort(expected), rtol=1e-10
        )
        assert point.step.verdict == "saddle"
        assert point.flow is None
    assert found.complete.consistent


def test_the_share_of_starts_that_henon_sends_to_infinity():
    found = samdyn.basins(HENON, BOX, grid=60, steps=500)
    cells = -2 + 4 * (np.arange(60) + 0.5) / 60
    x, y = np.meshgrid(cells, cells, indexing="ij")
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(500):
            x, y = 1 - 1.4 * x**2 + y, 0.3 * x
    assert found.diverged == np.mean(~(np.abs(x) < 1e6))
    (strange,) = found.attractors  # which holds no fixed point
    assert (strange.kind, strange.fraction) == ("chaotic", pytest.approx(1 - found.diverged))


@pytest.mark.parametrize(("r", "verdict"), [(2.999, "attractor"), (3.001, "repeller")])
def test_the_logistic_map_loses_its_fixed_point_at_3(r, verdict):
    found = samdyn.stability(LOGISTIC.at(r=r), at=[0.6]).points[0]
    assert found.point.w[0] == pytest.approx(1 - 1 / r, rel=1e-12)
    assert found.step.eigenvalues[0].real == pytest.approx(2 - r, rel=1e-10)
    assert found.step.verdict == verdict


@pytest.mark.thorough
def test_duffing_has_two_wells_between_which_damping_chooses():
    found = samdyn.stability(DUFFING, box=BOX)
    assert [p.flow.verdict for p in found.points] == ["attractor", "saddle", "attractor"]
    np.testing.assert_allclose(
        [p.point.w for p in found.points], [[-1, 0], [0, 0], [1, 0]], atol=1e-12
    )
    rate = -0.1 + np.sqrt(0.01 + 1)
    assert found.points[1].flow.eigenvalues.real.max() == pytest.approx(rate)
    image = samdyn.basins(DUFFING, BOX, grid=12)
    assert image.undecided == image.diverged == image.left_box == 0
    assert [a.fraction for a in image.attractors] == [0.5, 0.5]  # (x, v) → (−x, −v)
    np.testing.assert_array_equal(image.labels, 1 - image.labels[::-1, ::-1])
    cells = -2 + 4 * (np.arange(12) + 0.5) / 12

    def rhs(t, w):
        return [w[1], w[0] - w[0] ** 3 - 0.2 * w[1]]

    for i, j in ((0, 0), (3, 7), (11, 2), (5, 5), (8, 10)):
        end = scipy.integrate.solve_ivp(rhs, (0, 200), [cells[i], cells[j]], rtol=1e-9, atol=1e-12)
        assert image.attractors[image.labels[i, j]].w[0] == pytest.approx(end.y[0, -1], abs=1e-3)


@pytest.mark.thorough
def test_van_der_pols_portrait_shows_its_repeller():
    system = ODE(lambda t, w, mu: jnp.stack([w[1], mu * (1 - w[0] ** 2) * w[1] - w[0]]), 1.0)
    (point,) = samdyn.stability(system, box=[(-3, 3), (-3, 3)]).points
    assert point.flow.verdict == "repeller"
    np.testing.assert_allclose(point.flow.eigenvalues.real, [0.5, 0.5])
    figure = samdyn.portrait(system, [(-3, 3), (-3, 3)], starts=[(0.1, 0.0)], time=30.0)
    assert "repeller" in {text.get_text() for text in figure.legends[0].get_texts()}


@pytest.mark.parametrize(("beta", "mean"), [(1.0, 270.61), (5.0, 72.89)])
@pytest.mark.thorough
def test_maier_and_steins_mean_escape_times(beta, mean):
    """dX = b dt + √ε dW with ε = 0.1 from (−1, 0) to u = 0."""
    system = samdyn.SDE(
        lambda w, p: jnp.stack([w[0] - w[0] ** 3 - p["beta"] * w[0] * w[1] ** 2,
                                -(1 + w[0] ** 2) * w[1]]),
        lambda w, p: jnp.sqrt(p["eps"]).astype(w.dtype) * jnp.eye(2, dtype=w.dtype),
        {"beta": beta, "eps": 0.1},
    )  # fmt: skip
    found = samdyn.escape_times(system, [-1.0, 0.0], samdyn.Below(0, 0.0), paths=4000, seed=3)
    low, high = found.summary.mean_ci95
    error = (high - low) / 2 / 1.96
    assert abs(found.summary.mean - mean) < 3.5 * error + 0.01 * mean
    assert found.scheme == "heun"  # the noise is seen to be constant


@pytest.mark.thorough
def test_duffings_manifolds_leave_its_saddle_along_the_eigenvectors():
    found = samdyn.manifolds(DUFFING, [0.1, 0.1], box=BOX)
    assert [curve.stable for curve in found.curves].count(True) == 2
    values, vectors = np.linalg.eig([[0, 1], [1, -0.2]])
    attracting = vectors[:, np.argmin(values)]
    assert abs(found.direction @ attracting) == pytest.approx(1, abs=1e-4)
    ends = sorted(curve.points[-1][0] for curve in found.curves if not curve.stable)
    assert ends == pytest.approx([-1, 1], abs=1e-2)


def test_checkpoints_show_every_step_of_a_short_run():
    found = samdyn.trajectory(LOGISTIC, [0.3], steps=50)
    assert found.at.tolist() == list(range(51))
    long = samdyn.trajectory(LOGISTIC, [0.3], steps=10_000)
    assert len(long.at) <= 1001
    assert np.min(np.diff(long.at)) == 1  # neighbours, so that an alternation shows
